//! `list`: the built-in and installed collectors.

use crate::diagnostics::print;
use crate::error::Error;
use crate::sandbox::Description;
use crate::store::Store;
use crate::store::pin::Pin;
use crate::text::{escape, foreign};

/// Lists all collectors, a line each: name, version, summary, source. A broken one has a line with the reason. An
/// installed one without a signature that the policy requires now is also named on stderr.
///
/// # Errors
/// If a built-in cannot be loaded, or the folder of installed ones cannot be used.
pub async fn list(store: &Store) -> Result<String, Error> {
    let mut rows = Vec::new();
    for builtin in store.builtins() {
        let component = store.load(builtin.name)?;
        let Description { name, version, summary, .. } = component.describe().await?;
        rows.push(row(&name, &version, &summary, "built in", ""));
    }
    let policy = store.installed().policy();
    if let Err(error) = &policy {
        print(&error.to_string());
    }
    for name in store.installed().names()? {
        match store.installed().pin(&name) {
            Ok(Some(pin)) => {
                if let Some(error) = policy.as_ref().ok().and_then(|policy| policy.check(&pin).err()) {
                    print(&format!("{}: {error}", foreign(&name)));
                }
                let Pin { name, version, summary, source, signed, .. } = pin;
                let signed = signed.map(|signer| format!(", signed by {signer}")).unwrap_or_default();
                rows.push(row(&name, &version, &summary, &source, &signed));
            }
            // It was removed just now.
            Ok(None) => {}
            Err(error) => {
                let error = escape(&error.to_string());
                let why = error.strip_prefix(&format!("{name}: ")).unwrap_or(&error);
                rows.push([foreign(&name).to_string(), "broken".to_owned(), why.to_owned()]);
            }
        }
    }
    let widest = rows.iter().map(|[name, ..]| name.chars().count()).max().unwrap_or_default();
    let line = |[name, version, rest]: &[String; 3]| format!("{name:<widest$} {version:<9} {rest}\n");
    Ok(rows.iter().map(line).collect())
}

fn row(name: &str, version: &str, summary: &str, origin: &str, signed: &str) -> [String; 3] {
    let rest = format!("{} ({}{signed})", foreign(summary), foreign(origin));
    [foreign(name).to_string(), foreign(version).to_string(), rest]
}
