//! Bundles: the form in which cosign 3 writes signatures, as manifests that refer to the signed one:
//! <https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md>.
//!
//! A bundle has an envelope (DSSE) with a statement (in-toto) about digests. The entries of logs, certificates and
//! timestamps beside it are ignored: only a signature by a required key counts.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::client::Client;
use super::fault::Fault;
use crate::limits;
use crate::store::digest::is_digest;
use crate::store::signature::{Signature, SignatureError};
use crate::text::foreign;

/// The beginning of the media types of bundles, which have a version.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// The type of a manifest whose configuration is empty. cosign's bundles can have it.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The type of a statement that is a signature. Others are attestations, such as a list of dependencies.
const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The fields in use of an index of referring manifests.
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Referrer>,
}

#[derive(Deserialize)]
struct Referrer {
    digest: String,
    #[serde(default, rename = "artifactType")]
    artifact_type: String,
}

/// The fields in use of a bundle's manifest.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    #[serde(default, rename = "mediaType")]
    media_type: String,
    digest: String,
}

/// The fields in use of a bundle.
#[derive(Deserialize)]
struct Bundle {
    #[serde(rename = "dsseEnvelope")]
    envelope: Option<Envelope>,
}

#[derive(Deserialize)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

/// The fields in use of a statement.
#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "predicateType")]
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: SubjectDigest,
}

#[derive(Deserialize)]
struct SubjectDigest {
    sha256: String,
}

/// Fetches the signatures in the bundles that refer to the manifest with this digest.
pub async fn fetch(client: &mut Client<'_>, digest: &str) -> Result<Vec<Signature>, Fault> {
    let index = match client.referrers(digest).await {
        Err(fault) if is_unsupported(&fault) => client.manifest(&digest.replace(':', "-")).await,
        index => index,
    };
    let index = match index {
        Err(Fault::NotFound(_)) => return Ok(Vec::new()),
        index => index?,
    };
    let Index { manifests } = serde_json::from_slice(&index).map_err(|_| Fault::Manifest)?;
    let can_be_bundle = |referrer: &Referrer| {
        referrer.artifact_type.starts_with(BUNDLE) || ["", EMPTY].contains(&referrer.artifact_type.as_str())
    };
    let mut signatures = Vec::new();
    for (count, referrer) in manifests.into_iter().filter(can_be_bundle).enumerate() {
        if count == limits::SIGNATURES {
            return Err(unreadable(&format!("more than {} bundles (fixed limit)", limits::SIGNATURES)));
        }
        let manifest = client.manifest(&checked(referrer.digest)?).await?;
        let Manifest { layers } = serde_json::from_slice(&manifest).map_err(|_| Fault::Manifest)?;
        let Some(layer) = layers.into_iter().find(|layer| layer.media_type.starts_with(BUNDLE)) else { continue };
        let bundle = client.blob("bundle", &checked(layer.digest)?, limits::REGISTRY_RESPONSE.as_u64()).await?;
        let bundle: Bundle = serde_json::from_slice(&bundle).map_err(|error| unreadable(&error.to_string()))?;
        // A bundle without an envelope signs a file.
        signatures.extend(bundle.envelope.as_ref().and_then(signature));
    }
    Ok(signatures)
}

/// Returns true if a registry does not list referring manifests. Such a registry should return 404.
fn is_unsupported(fault: &Fault) -> bool {
    match fault {
        Fault::NotFound(_) => true,
        Fault::Status { status, .. } => status.is_client_error(),
        _ => false,
    }
}

/// Returns the signature of an envelope; `None` if it is malformed.
fn signature(envelope: &Envelope) -> Option<Signature> {
    let payload = BASE64_STANDARD.decode(&envelope.payload).ok()?;
    let der = BASE64_STANDARD.decode(&envelope.signatures.first()?.sig).ok()?;
    let digests = match serde_json::from_slice(&payload) {
        Ok(Statement { predicate_type, subject }) if predicate_type == PREDICATE => {
            subject.iter().map(|subject| format!("sha256:{}", subject.digest.sha256)).collect()
        }
        _ => Vec::new(),
    };
    let kind = &envelope.payload_type;
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    Some(Signature { message: [head.as_bytes(), &payload].concat(), der, digests })
}

fn checked(digest: String) -> Result<String, Fault> {
    if is_digest(&digest) { Ok(digest) } else { Err(Fault::ManifestDigest(foreign(&digest))) }
}

fn unreadable(reason: &str) -> Fault {
    SignatureError::Unreadable { place: "a bundle".to_owned(), reason: foreign(reason) }.into()
}
