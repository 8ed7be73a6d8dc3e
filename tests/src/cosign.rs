//! Signatures in a registry as cosign writes them, without cosign.

use serde_json::{Value, json};

use crate::openssl::{KeyPair, base64};
use crate::registry::Registry;

/// The annotation that is a signature.
pub const ANNOTATION: &str = "dev.cosignproject.cosign/signature";

/// The media type of a signed text.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The media type of a manifest.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Returns the text that cosign signs for a manifest.
pub fn payload(digest: &str) -> Value {
    json!({
        "critical": {
            "identity": {"docker-reference": "registry.example.com/team/strange"},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": {"creator": "cosign"},
    })
}

/// Uploads signatures of a manifest: signed texts with their signatures in Base64.
pub fn put_signatures(registry: &Registry, repository: &str, digest: &str, signatures: &[(Vec<u8>, String)]) {
    let config = b"{}";
    let layers: Vec<Value> = signatures
        .iter()
        .map(|(payload, signature)| {
            let digest = registry.put_blob(repository, payload);
            json!({"mediaType": PAYLOAD, "digest": digest, "size": payload.len(), "annotations": {ANNOTATION: signature}})
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": registry.put_blob(repository, config),
            "size": config.len(),
        },
        "layers": layers,
    });
    registry.put_manifest(repository, &tag(digest), &manifest);
}

/// Uploads a bundle that refers to a manifest as cosign 3 does with a registry without a list of referrers.
pub fn put_bundle(registry: &Registry, repository: &str, digest: &str, statement: &Value, key: &KeyPair) {
    let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let payload = statement.to_string();
    let of_payload = "application/vnd.in-toto+json";
    let signed = format!("DSSEv1 {} {of_payload} {} {payload}", of_payload.len(), payload.len());
    let envelope = json!({
        "payload": base64(payload.as_bytes()),
        "payloadType": of_payload,
        "signatures": [{"sig": key.sign(signed.as_bytes())}],
    });
    let bundle = json!({"mediaType": kind, "verificationMaterial": {}, "dsseEnvelope": envelope}).to_string();
    let part = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": registry.put_blob(repository, bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": part("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [part(kind, bundle.as_bytes())],
    });
    let tag = digest.replace(':', "-");
    let referrer = registry.put_manifest(repository, &format!("{tag}.bundle"), &manifest);
    let sbom = json!({"mediaType": MANIFEST, "digest": digest, "size": 2, "artifactType": "application/spdx+json"});
    let bundle = json!({"mediaType": MANIFEST, "digest": referrer, "size": 2, "artifactType": kind});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [sbom, bundle],
    });
    registry.put_manifest(repository, &tag, &index);
}

/// Returns the statement that cosign 3 signs for a manifest.
pub fn statement(digest: &str) -> Value {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": hex}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    })
}

/// Returns the tag of the signatures of a manifest.
pub fn tag(digest: &str) -> String {
    format!("{}.sig", digest.replace(':', "-"))
}
