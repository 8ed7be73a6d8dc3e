//! The signatures of an artifact, as cosign stores them: a manifest with the tag `sha256-DIGEST.sig` in the same
//! repository, each layer of which is a signed text with its signature as an annotation:
//! <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>.
//!
//! Only the digest in the text counts. The name beside it is ignored, as cosign does: a mirror has another one.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oci_spec::distribution::Reference;
use serde::Deserialize;
use serde_json::{Value, json};

use super::artifact::{MANIFEST, of_manifest};
use super::client::Client;
use super::fault::Fault;
use crate::limits;
use crate::store::digest::is_digest;
use crate::store::key::PrivateKey;
use crate::store::signature::{Required, Signature, SignatureError};
use crate::text::foreign;

/// The media type of a signed text.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The annotation that is the signature.
const ANNOTATION: &str = "dev.cosignproject.cosign/signature";

/// The type of a signed text.
const TYPE: &str = "cosign container image signature";

/// The fields in use of a signed text.
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// Fetches the signatures of the manifest with this digest.
pub async fn fetch(client: &mut Client<'_>, digest: &str) -> Result<Vec<Signature>, Fault> {
    let tag = tag(digest);
    match find_manifest(client, &tag).await? {
        Some(manifest) => fetch_listed(client, &tag, &manifest).await,
        None => Ok(Vec::new()),
    }
}

/// Signs the manifest with this digest, unless this key has signed it. Signatures by other keys are kept.
pub async fn sign(client: &mut Client<'_>, reference: &Reference, digest: &str, key: &PrivateKey) -> Result<(), Fault> {
    let tag = tag(digest);
    let mut manifest = match find_manifest(client, &tag).await? {
        Some(manifest) => {
            let own = Required { keys: vec![key.public.clone()], by: String::new() };
            if own.signer(digest, &fetch_listed(client, &tag, &manifest).await?).is_ok() {
                return Ok(());
            }
            manifest
        }
        None => json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}),
    };
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": format!("{}/{}", reference.registry(), reference.repository())},
            "image": {"docker-manifest-digest": digest},
            "type": TYPE,
        },
        "optional": null,
    });
    let payload = payload.to_string().into_bytes();
    let signature = key.sign(&payload).map_err(|error| Fault::Setup(foreign(&error.to_string())))?;
    let mut layer = part(PAYLOAD, &payload);
    layer["annotations"] = json!({ANNOTATION: BASE64_STANDARD.encode(signature)});
    let layers = layers_mut(&mut manifest).ok_or(Fault::Manifest)?;
    layers.push(layer);
    let contents: Vec<Value> = layers.iter().map(|layer| layer["digest"].clone()).collect();
    // cosign writes the configuration of an image without a system.
    let config = json!({
        "architecture": "",
        "config": {},
        "created": "0001-01-01T00:00:00Z",
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": contents},
    });
    let config = config.to_string().into_bytes();
    manifest["config"] = part("application/vnd.oci.image.config.v1+json", &config);
    client.push_blob(payload).await?;
    client.push_blob(config).await?;
    client.push_manifest(&tag, manifest.to_string().into_bytes()).await
}

/// Returns the tag of the signatures of a manifest.
pub fn tag(digest: &str) -> String {
    format!("{}.sig", digest.replace(':', "-"))
}

/// Fetches the manifest of signatures; `None` if there is none.
async fn find_manifest(client: &mut Client<'_>, tag: &str) -> Result<Option<Value>, Fault> {
    let bytes = match client.manifest(tag).await {
        Ok(bytes) => bytes,
        Err(Fault::NotFound(_)) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(tag, &error.to_string()))
}

/// Fetches the signatures that a manifest lists.
async fn fetch_listed(client: &mut Client<'_>, tag: &str, manifest: &Value) -> Result<Vec<Signature>, Fault> {
    let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_payload = |layer: &&Value| layer["mediaType"] == PAYLOAD;
    let mut signatures = Vec::new();
    for layer in layers.iter().filter(is_payload) {
        if signatures.len() == limits::SIGNATURES {
            return Err(unreadable(tag, &format!("more than {} signatures (fixed limit)", limits::SIGNATURES)));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let digest = text(&layer["digest"]);
        if !is_digest(&digest) {
            return Err(unreadable(tag, &format!("'{digest}' is not a digest")));
        }
        let der = BASE64_STANDARD.decode(text(&layer["annotations"][ANNOTATION]));
        let der = der.map_err(|_| unreadable(tag, "its annotation is not a signature in Base64"))?;
        let message = client.blob("signed text", &digest, limits::REGISTRY_RESPONSE.as_u64()).await?;
        signatures.push(Signature { digests: digests(&message), message, der });
    }
    Ok(signatures)
}

/// Returns the digest in a signed text; `None` if the text is of another type.
fn digests(payload: &[u8]) -> Vec<String> {
    match serde_json::from_slice(payload) {
        Ok(Payload { critical: Critical { image, kind } }) if kind == TYPE => vec![image.digest],
        _ => Vec::new(),
    }
}

fn part(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": of_manifest(bytes), "size": bytes.len()})
}

fn layers_mut(manifest: &mut Value) -> Option<&mut Vec<Value>> {
    manifest.get_mut("layers")?.as_array_mut()
}

fn unreadable(tag: &str, reason: &str) -> Fault {
    SignatureError::Unreadable { place: format!("the tag {tag}"), reason: foreign(reason) }.into()
}
