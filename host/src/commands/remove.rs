//! `remove`: an installed collector, also a broken one.

use crate::error::Error;
use crate::store::Store;
use crate::text::foreign;

/// Removes an installed collector, also one that is broken, and says so.
///
/// # Errors
/// Where there is none of that name, or it cannot be removed.
pub fn remove(store: &Store, name: &str) -> Result<String, Error> {
    let shown = foreign(name);
    if store.builtins().iter().any(|builtin| builtin.name == name) {
        return Err(Error::usage(format!("{shown} is built in, and cannot be removed")));
    }
    let names = store.installed().names()?;
    if !names.iter().any(|installed| installed == name) {
        let names = if names.is_empty() { "nothing is".to_owned() } else { format!("there is {}", names.join(", ")) };
        return Err(Error::usage(format!("{shown} is not installed; {}", foreign(&names))));
    }
    store.installed().lock()?.remove(name)?;
    Ok(format!("removed {shown}\n"))
}
