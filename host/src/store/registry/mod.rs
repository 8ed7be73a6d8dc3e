//! Registries: components as OCI artifacts of one layer, identified by their digests.
//!
//! Registries on this machine use plain HTTP, as in docker; all others HTTPS, also after a redirect. Logins and
//! certificates are those of docker and podman. Proxies of the environment are used.

pub mod artifact;
pub mod bundle;
pub mod client;
pub mod fault;
pub mod login;
pub mod options;
pub mod signature;
pub mod trust;

use oci_spec::distribution::{ParseError, Reference};

use self::artifact::{Artifact, Content, of_manifest};
use self::client::{Access, Client};
use self::fault::Fault;
use self::options::{OptionError, RegistryOptions};
use crate::limits;
use crate::sandbox::Description;
use crate::store::digest::is_digest;
use crate::store::key::{PrivateKey, Signer};
use crate::store::signature::{Required, Signature, last_signer};
use crate::text::{Foreign, foreign};

/// The scheme of a reference.
pub const SCHEME: &str = "oci://";

/// A transfer that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a reference.
    #[error("{text}: {reason}: expected oci://REGISTRY/REPOSITORY with :TAG or @sha256:DIGEST")]
    Reference {
        /// The text.
        text: Foreign,
        /// The fault.
        reason: String,
    },
    /// An option has no effect.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The transfer failed.
    #[error("{SCHEME}{reference}: {fault}")]
    Transfer {
        /// The reference.
        reference: String,
        /// The fault.
        #[source]
        fault: Fault,
    },
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> crate::error::Error {
        match error {
            Error::Reference { .. } | Error::Option(_) => crate::error::Error::usage(error),
            Error::Transfer { .. } => crate::error::Error::failed(error),
        }
    }
}

/// Parses a reference, with or without `oci://`.
///
/// # Errors
/// If it is not a reference, or names no registry.
pub fn parse(text: &str) -> Result<Reference, Error> {
    let wrong = |reason: &str| Error::Reference { text: foreign(text), reason: reason.to_owned() };
    let plain = text.strip_prefix(SCHEME).unwrap_or(text);
    // docker would take a reference without a registry for one of Docker Hub.
    let registry = plain.split_once('/').map_or("", |(registry, _)| registry);
    if !registry.contains(['.', ':']) && registry != "localhost" {
        return Err(wrong("no registry"));
    }
    let reference: Reference = plain.parse().map_err(|error: ParseError| wrong(&error.to_string()))?;
    if reference.digest().is_some_and(|digest| !is_digest(digest)) {
        return Err(wrong("only sha256 digests are supported"));
    }
    Ok(reference)
}

/// A component that was fetched.
pub struct Pulled {
    /// The component.
    pub bytes: Vec<u8>,
    /// The reference with the digest of its manifest, which the bytes were checked against.
    pub source: String,
    /// The signer; `None` if no signature was required.
    pub signer: Option<Signer>,
}

/// Fetches a component with the required signatures.
///
/// # Errors
/// If it cannot be fetched, differs from the digests of the reference or the manifest, or lacks a signature.
pub async fn pull(reference: &Reference, options: &RegistryOptions, required: &[Required]) -> Result<Pulled, Error> {
    options.check(Some(reference.registry()))?;
    let work = async {
        let mut client = Client::of(reference, Access::Pull, options).await?;
        let wanted = reference.digest().or(reference.tag()).unwrap_or("latest");
        let manifest = client.manifest(wanted).await?;
        let pinned = of_manifest(&manifest);
        let signer = signer(&mut client, &pinned, required).await?;
        let content = match Content::parse(&manifest)? {
            Content::Manifest(digest) => Content::parse(&client.manifest(&digest).await?)?,
            component @ Content::Component { .. } => component,
        };
        let Content::Component { digest, size } = content else { return Err(Fault::Index) };
        let bytes = client.blob("component", &digest, size).await?;
        let whole = reference.whole();
        let without_digest = whole.split_once('@').map_or(whole.as_str(), |(tagged, _)| tagged);
        Ok(Pulled { bytes, source: format!("{SCHEME}{without_digest}@{pinned}"), signer })
    };
    within_timeout(reference, work).await
}

/// Pushes a component, signed if there is a key, and returns the digest of its manifest.
///
/// # Errors
/// If the registry does not accept it.
pub async fn push(
    reference: &Reference,
    options: &RegistryOptions,
    component: Vec<u8>,
    description: &Description,
    key: Option<&PrivateKey>,
) -> Result<String, Error> {
    options.check(Some(reference.registry()))?;
    let work = async {
        let mut client = Client::of(reference, Access::Push, options).await?;
        let Artifact { manifest, config, component } = Artifact::of_component(component, description);
        client.push_blob(component).await?;
        client.push_blob(config).await?;
        let digest = of_manifest(&manifest);
        if let Some(key) = key {
            // Before the manifest has its tag, so that nobody fetches it unsigned.
            signature::sign(&mut client, reference, &digest, key).await?;
        }
        client.push_manifest(reference.tag().unwrap_or("latest"), manifest).await?;
        Ok(digest)
    };
    within_timeout(reference, work).await
}

/// Returns the signer of the manifest with this digest, by the last of all required signatures; `None` if none is
/// required.
async fn signer(client: &mut Client<'_>, digest: &str, required: &[Required]) -> Result<Option<Signer>, Fault> {
    let Some(first) = required.first() else { return Ok(None) };
    let check = |signatures: &[Signature]| last_signer(required, |required| required.signer(digest, signatures));
    let mut signatures = signature::fetch(client, digest).await?;
    if check(&signatures).is_err() {
        signatures.extend(bundle::fetch(client, digest).await?);
    }
    if signatures.is_empty() {
        let tag = signature::tag(digest);
        let place = format!("tag {tag} and no bundle of cosign 3 for it: sign it with push --sign-key or cosign sign");
        return Err(first.missing(place).into());
    }
    Ok(check(&signatures)?)
}

/// Runs a transfer within its timeout.
async fn within_timeout<T>(reference: &Reference, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Error> {
    let result = tokio::time::timeout(limits::TRANSFER_TIMEOUT, work).await;
    result
        .unwrap_or(Err(Fault::Timeout(limits::TRANSFER_TIMEOUT)))
        .map_err(|fault| Error::Transfer { reference: reference.to_string(), fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_its_registry() {
        let whole = |text: &str| parse(text).map(|reference| reference.whole()).map_err(|error| error.to_string());
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(whole("oci://registry.example.com/a/b:1"), Ok("registry.example.com/a/b:1".to_owned()));
        assert_eq!(whole("registry.example.com/a"), Ok("registry.example.com/a:latest".to_owned()));
        assert_eq!(whole("localhost/a:1"), Ok("localhost/a:1".to_owned()));
        let pinned = format!("registry.example.com:5000/a:1@{digest}");
        assert_eq!(whole(&pinned), Ok(pinned));
        for wrong in [
            "a",
            "a/b:1",
            "oci://a/b",
            "oci://",
            "registry.example.com/A:1",
            "registry.example.com/a@sha256:0",
            "",
            "/",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
