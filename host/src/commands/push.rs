//! `push`: a collector from a file to a registry.

use std::fmt::Write as _;
use std::path::Path;

use crate::commands::install::{Checked, check};
use crate::error::Error;
use crate::session::Session;
use crate::store::component::read;
use crate::store::registry;
use crate::text::foreign;

/// Puts the collector in a file into a registry, and says how it is installed from there.
///
/// # Errors
/// Where it is no collector, breaks its contract, or the registry does not take it.
pub async fn push(session: &Session, file: &Path, reference: &str) -> Result<String, Error> {
    let reference = registry::parse(reference)?;
    if reference.digest().is_some() {
        return Err(Error::usage(format!("{reference}: a push takes a tag, and gives the digest")));
    }
    let source = file.display().to_string();
    let Checked { component, description, bytes, .. } = check(session, read(file)?, &source).await?;
    let manifest = registry::push(&reference, bytes, &description).await?;
    let mut text = String::new();
    let (name, version) = (foreign(&description.name), foreign(&description.version));
    let _ = writeln!(text, "pushed {name} {version} to oci://{reference}");
    let _ = writeln!(text, "digest    {manifest}");
    let _ = writeln!(text, "component sha256:{}", component.digest);
    let _ = writeln!(text, "\nTo install it, whatever the tag leads to later:\n");
    let _ = writeln!(text, "mackerel-plugin-wasm install oci://{reference}@{manifest}");
    Ok(text)
}
