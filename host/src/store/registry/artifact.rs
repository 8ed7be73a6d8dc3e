//! The artifact: a component in a registry, by the Wasm OCI artifact layout of the CNCF:
//! <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.
//!
//! Only the fields in use are read, so a manifest with anything else beside them is accepted.

use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::Fault;
use crate::contract;
use crate::limits;
use crate::sandbox::Description;
use crate::store::digest::{digest, is_digest};
use crate::text::foreign;

/// The media types of manifests that are recognised, for an Accept header.
pub const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// The media type of a manifest that is pushed.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The media type of a component's configuration.
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The media type of a component.
pub const WASM_LAYER: &str = "application/wasm";

/// The media types of components that older tools push.
const OLDER_WASM_LAYERS: [&str; 2] =
    ["application/vnd.wasm.content.layer.v1+wasm", "application/vnd.module.wasm.content.layer.v1+wasm"];

/// A component as the parts of an artifact.
pub struct Artifact {
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The configuration.
    pub config: Vec<u8>,
    /// The component.
    pub component: Vec<u8>,
}

impl Artifact {
    /// Makes the artifact of a component. It depends on nothing else, so the same component has the same digest.
    pub fn of_component(component: Vec<u8>, description: &Description) -> Artifact {
        let (imports, exports) = contract::names(&component);
        let config = json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [of_manifest(&component)],
            "component": {"exports": exports, "imports": imports},
        });
        let config = config.to_string().into_bytes();
        let part =
            |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": of_manifest(bytes), "size": bytes.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part(WASM_CONFIG, &config),
            "layers": [part(WASM_LAYER, &component)],
            "annotations": {
                "org.opencontainers.image.title": description.name,
                "org.opencontainers.image.version": description.version,
                "org.opencontainers.image.description": description.summary,
            },
        });
        Artifact { manifest: manifest.to_string().into_bytes(), config, component }
    }
}

/// Returns the digest of bytes in the form of manifests.
pub fn of_manifest(bytes: &[u8]) -> String {
    format!("sha256:{}", digest(bytes))
}

/// The part of a registry that a manifest leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// A component.
    Component {
        /// Its digest.
        digest: String,
        /// Its size in bytes.
        size: u64,
    },
    /// The manifest with this digest: the only one of an index that can be a component's.
    Manifest(String),
}

/// The fields in use of a manifest or an index.
#[derive(Deserialize)]
struct Manifest {
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    artifact_type: String,
    #[serde(default)]
    platform: Value,
}

impl Content {
    /// Parses a manifest or an index.
    ///
    /// # Errors
    /// If it does not lead to exactly one component, or to one that is too large.
    pub fn parse(manifest: &[u8]) -> Result<Content, Fault> {
        match serde_json::from_slice(manifest).map_err(|_| Fault::Manifest)? {
            Manifest { layers: Some(layers), .. } => component(&layers),
            Manifest { manifests: Some(manifests), .. } => only_manifest(&manifests),
            _ => Err(Fault::Manifest),
        }
    }
}

/// Returns the only layer that is a component. Layers of other types are documents beside it.
fn component(layers: &[Descriptor]) -> Result<Content, Fault> {
    let is_wasm =
        |layer: &&Descriptor| layer.media_type == WASM_LAYER || OLDER_WASM_LAYERS.contains(&layer.media_type.as_str());
    let wasm: Vec<&Descriptor> = layers.iter().filter(is_wasm).collect();
    let [layer] = wasm[..] else {
        let types: Vec<&str> = layers.iter().take(3).map(|layer| layer.media_type.as_str()).collect();
        return Err(Fault::Layers { count: layers.len(), types: foreign(&types.join(", ")) });
    };
    if layer.size > limits::COMPONENT_SIZE.as_u64() {
        return Err(Fault::Size(limits::COMPONENT_SIZE));
    }
    Ok(Content::Component { digest: checked(layer)?, size: layer.size })
}

/// Returns the only entry of an index that can be a component's: one for WebAssembly, or for no platform.
fn only_manifest(entries: &[Descriptor]) -> Result<Content, Fault> {
    let is_wasm = |entry: &&Descriptor| {
        entry.platform["architecture"] == "wasm" || entry.artifact_type == WASM_CONFIG || entry.platform.is_null()
    };
    let candidates: Vec<&Descriptor> = entries.iter().filter(is_wasm).collect();
    match candidates[..] {
        [] => Err(Fault::Index),
        [entry] => Ok(Content::Manifest(checked(entry)?)),
        _ => Err(Fault::Components(candidates.len())),
    }
}

/// Returns a descriptor's digest, which becomes part of an address.
fn checked(descriptor: &Descriptor) -> Result<String, Fault> {
    let digest = &descriptor.digest;
    if is_digest(digest) { Ok(digest.clone()) } else { Err(Fault::ManifestDigest(foreign(digest))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(manifest: &Value) -> Result<Content, String> {
        Content::parse(manifest.to_string().as_bytes()).map_err(|fault| fault.to_string())
    }

    fn part(kind: &str, digit: &str) -> Value {
        json!({"mediaType": kind, "digest": format!("sha256:{}", digit.repeat(64)), "size": 3})
    }

    #[test]
    fn a_component_stands_beside_documents_of_other_types() {
        let component = Ok(Content::Component { digest: format!("sha256:{}", "1".repeat(64)), size: 3 });
        let readme = part("text/markdown", "2");
        for kind in [WASM_LAYER, OLDER_WASM_LAYERS[0], OLDER_WASM_LAYERS[1]] {
            assert_eq!(parsed(&json!({"layers": [part(kind, "1")]})), component);
            assert_eq!(parsed(&json!({"layers": [readme, part(kind, "1")], "unknown": null})), component);
        }
    }

    #[test]
    fn an_index_leads_to_its_only_component() {
        let only = Ok(Content::Manifest(format!("sha256:{}", "1".repeat(64))));
        let with = |digit: &str, field: &str, value: Value| {
            let mut entry = part(MANIFEST, digit);
            entry[field] = value;
            entry
        };
        let wasm = with("1", "platform", json!({"architecture": "wasm", "os": "wasip2"}));
        let image = with("2", "platform", json!({"architecture": "amd64", "os": "linux"}));
        // As buildx adds them.
        let attestation = with("3", "platform", json!({"architecture": "unknown", "os": "unknown"}));
        assert_eq!(parsed(&json!({"manifests": [image, wasm, attestation]})), only);
        assert_eq!(parsed(&json!({"manifests": [part(MANIFEST, "1")]})), only);
        assert_eq!(parsed(&json!({"manifests": [image, with("1", "artifactType", json!(WASM_CONFIG))]})), only);
        assert_eq!(
            parsed(&json!({"manifests": [image, attestation]})),
            Err("not a component but a list of images for several platforms".to_owned())
        );
        assert_eq!(
            parsed(&json!({"manifests": [wasm, part(MANIFEST, "4")]})),
            Err("not one component but a list of 2: choose one by its digest".to_owned())
        );
    }
}
