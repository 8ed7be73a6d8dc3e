//! `remove`: removes an installed collector, broken ones included.

use crate::error::Error;
use crate::store::Store;
use crate::text::{foreign, listed};

/// Removes an installed collector, also a broken one.
///
/// # Errors
/// If there is none of that name, or it cannot be removed.
pub fn remove(store: &Store, name: &str) -> Result<String, Error> {
    let shown = foreign(name);
    if store.builtins().iter().any(|builtin| builtin.name == name) {
        return Err(Error::usage(format!("{shown} is built in and cannot be removed")));
    }
    let names = store.installed().names()?;
    if !names.iter().any(|installed| installed == name) {
        return Err(Error::usage(format!("{shown} is not installed; installed: {}", foreign(&listed(&names)))));
    }
    store.installed().lock()?.remove(name)?;
    Ok(format!("removed {shown}\n"))
}
