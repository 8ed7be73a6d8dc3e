//! `push`: pushes a collector from a file to a registry.

use std::fmt::Write as _;
use std::path::Path;

use crate::commands::install::{Checked, check};
use crate::error::Error;
use crate::session::Session;
use crate::store::component::read;
use crate::store::key::PrivateKey;
use crate::store::registry;
use crate::store::registry::options::RegistryOptions;
use crate::text::foreign;

/// Pushes the collector in a file, signed if there is a key, and returns the command that installs it.
///
/// # Errors
/// If it is not a collector or breaks the contract, the key cannot be used, or the registry does not accept it.
pub async fn push(
    session: &Session,
    file: &Path,
    reference: &str,
    key: Option<&Path>,
    options: &RegistryOptions,
) -> Result<String, Error> {
    let reference = registry::parse(reference)?;
    if reference.digest().is_some() {
        return Err(Error::usage(format!("{reference}: push takes a tag, not a digest")));
    }
    let key = key.map(|path| PrivateKey::read("--sign-key", path)).transpose()?;
    let source = file.display().to_string();
    let Checked { component, description, bytes, .. } = check(session, read(file)?, &source).await?;
    let manifest = registry::push(&reference, options, bytes, &description, key.as_ref()).await?;
    let mut text = String::new();
    let (name, version) = (foreign(&description.name), foreign(&description.version));
    let _ = writeln!(text, "pushed {name} {version} to oci://{reference}");
    let _ = writeln!(text, "digest    {manifest}");
    let _ = writeln!(text, "component sha256:{}", component.digest);
    let mut verify = "";
    if let Some(key) = key {
        let _ = writeln!(text, "signed    by {}", key.public.signer());
        verify = " --verify-key PUBLIC-KEY-FILE";
    }
    let _ = writeln!(text, "\nTo install exactly this component:\n");
    let _ = writeln!(text, "mackerel-plugin-wasm install oci://{reference}@{manifest}{verify}");
    Ok(text)
}
