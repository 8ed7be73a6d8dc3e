//! The policy: the sources from which a collector is only installed with a signature, and the keys for each.
//!
//! An operator writes it by hand: the file `policy` in the folder of installed collectors, with the public keys beside
//! it. The folder is private, and no symbolic link in it is followed. If anything about the policy is wrong, nothing is
//! installed: a rule that this program cannot parse must not be ignored.

use std::path::{Path, PathBuf};

use oci_spec::distribution::Reference;
use rustix::fs::Stat;
use serde::Deserialize;

use crate::file::{FileError, read_bounded};
use crate::limits;
use crate::private_dir::Folder;
use crate::store::key::{KeyFault, PublicKey};
use crate::store::pin::Pin;
use crate::store::registry::{self, SCHEME, login};
use crate::store::signature::Required;
use crate::text::{Foreign, foreign, joined};

/// The name of the file. No collector's record can have it: those end in `.json`.
const FILE: &str = "policy";

/// The version of the file format.
const FORMAT: u32 = 1;

/// The source of a rule for all sources, files too.
const ALL: &str = "*";

/// The rules about signatures.
#[derive(Debug, Default)]
pub struct Policy {
    path: PathBuf,
    rules: Vec<Rule>,
}

/// The keys for a registry, for the repositories below a path, or for all sources.
#[derive(Debug)]
struct Rule {
    /// The beginning of every source that it covers, as [`place`] writes it.
    place: String,
    keys: Vec<PublicKey>,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"format\" and \"require\"")]
struct Content {
    format: u32,
    require: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"from\" and \"keys\"")]
struct Entry {
    from: String,
    keys: Vec<String>,
}

/// A policy that cannot be used, or a key of it.
#[derive(Debug, thiserror::Error)]
#[error("no collector can be installed: the policy of signatures cannot be used: {}: {fault}", path.display())]
pub struct PolicyError {
    /// The file of the policy, or of a key.
    path: PathBuf,
    /// The fault.
    fault: PolicyFault,
}

/// An installed collector without a signature that the policy requires now. The text follows its name.
#[derive(Debug, thiserror::Error)]
#[error(
    "still runs, but is not signed by {keys}, as the policy {} requires: install a signed version \
     (mackerel-plugin-wasm install {from}) or remove it (mackerel-plugin-wasm remove {name})",
    path.display()
)]
pub struct Unsigned {
    name: Foreign,
    /// The required keys.
    keys: String,
    /// The file of the policy.
    path: PathBuf,
    /// The source that it was installed from.
    from: Foreign,
}

/// The fault of a policy. The text follows the path of its file or of a key.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFault {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another user can write it.
    #[error("other users can write it: remove their permission (chmod go-w)")]
    Writable,
    /// It is not the JSON of a policy.
    #[error("invalid: {0}")]
    Json(Foreign),
    /// It has another format.
    #[error("it has format {0}, but this program reads format {FORMAT}")]
    Format(u32),
    /// A rule's source is malformed.
    #[error("\"from\" is '{0}': expected REGISTRY, REGISTRY/REPOSITORY or {ALL}")]
    From(Foreign),
    /// Two rules have the same source.
    #[error("two rules for '{0}': list its keys in one rule")]
    Twice(Foreign),
    /// A rule has no keys.
    #[error("the rule for '{0}' has no keys")]
    NoKeys(Foreign),
    /// A key is not a file of the folder.
    #[error("the key '{0}' is not the name of a file in the same folder")]
    KeyName(Foreign),
    /// A key's file is missing.
    #[error("no such file")]
    Missing,
    /// A file is not a key.
    #[error(transparent)]
    Key(#[from] KeyFault),
}

impl Policy {
    /// Reads the policy of a folder; without its file, it has no rules.
    ///
    /// # Errors
    /// If it, or a key of it, cannot be used.
    pub fn read(folder: &Folder, folder_path: &Path) -> Result<Policy, PolicyError> {
        let path = folder_path.join(FILE);
        let failed = |fault: PolicyFault| PolicyError { path: path.clone(), fault };
        let Some(bytes) = read(folder, FILE).map_err(failed)? else { return Ok(Policy::default()) };
        let content: Content =
            serde_json::from_slice(&bytes).map_err(|error| failed(PolicyFault::Json(foreign(&error.to_string()))))?;
        if content.format != FORMAT {
            return Err(failed(PolicyFault::Format(content.format)));
        }
        let mut rules: Vec<Rule> = Vec::new();
        for Entry { from, keys } in content.require {
            let place = place_of_rule(&from).ok_or_else(|| failed(PolicyFault::From(foreign(&from))))?;
            if rules.iter().any(|rule| rule.place == place) {
                return Err(failed(PolicyFault::Twice(foreign(&from))));
            }
            if keys.is_empty() {
                return Err(failed(PolicyFault::NoKeys(foreign(&from))));
            }
            if let Some(name) = keys.iter().find(|name| name.contains('/')) {
                return Err(failed(PolicyFault::KeyName(foreign(name))));
            }
            let key = |name: &String| {
                let of_key = |fault| PolicyError { path: folder_path.join(name), fault };
                let pem = read(folder, name).map_err(of_key)?.ok_or_else(|| of_key(PolicyFault::Missing))?;
                PublicKey::parse(name, &pem).map_err(|fault| of_key(fault.into()))
            };
            rules.push(Rule { place, keys: keys.iter().map(key).collect::<Result<_, _>>()? });
        }
        Ok(Policy { path, rules })
    }

    /// Returns the signature that a source needs: that of the most specific rule. A file has no reference.
    pub fn required(&self, reference: Option<&Reference>) -> Option<Required> {
        let place = reference.map(place).unwrap_or_default();
        let rules = self.rules.iter().filter(|rule| place.starts_with(&rule.place));
        let Rule { keys, .. } = rules.max_by_key(|rule| rule.place.len())?;
        Some(Required { keys: keys.clone(), by: format!("the policy {}", self.path.display()) })
    }

    /// Checks that an installed collector was signed as its source needs it now.
    ///
    /// # Errors
    /// If it was not.
    pub fn check(&self, pin: &Pin) -> Result<(), Unsigned> {
        let reference = pin.source.starts_with(SCHEME).then(|| registry::parse(&pin.source).ok()).flatten();
        let Some(required) = self.required(reference.as_ref()) else { return Ok(()) };
        let is_signer = |key: &PublicKey| pin.signed.as_ref().is_some_and(|signer| signer.key == key.signer().key);
        if required.keys.iter().any(is_signer) {
            return Ok(());
        }
        let keys: Vec<String> = required.keys.iter().map(|key| key.signer().to_string()).collect();
        Err(Unsigned {
            name: foreign(&pin.name),
            keys: joined(&keys, " or "),
            path: self.path.clone(),
            from: foreign(&pin.source),
        })
    }
}

/// Reads a file of the policy; `None` if it does not exist.
fn read(folder: &Folder, name: &str) -> Result<Option<Vec<u8>>, PolicyFault> {
    let Some((file, stat)) = folder.find(name)? else { return Ok(None) };
    check_writers(&stat)?;
    Ok(Some(read_bounded(file, limits::KEY_FILE)?))
}

/// Checks that only this user and root can write a file.
fn check_writers(stat: &Stat) -> Result<(), PolicyFault> {
    if ![0, rustix::process::geteuid().as_raw()].contains(&stat.st_uid) {
        return Err(FileError::OtherOwner.into());
    }
    if stat.st_mode & 0o022 != 0 { Err(PolicyFault::Writable) } else { Ok(()) }
}

/// Returns one text for all references to a repository: the same registry can have several names.
fn place(reference: &Reference) -> String {
    let registry = reference.registry().to_ascii_lowercase();
    let host = registry.strip_suffix(":443").or_else(|| registry.strip_suffix(":80")).unwrap_or(&registry);
    format!("{}/{}/", login::host(host), reference.repository())
}

/// Returns the beginning of the places that a rule covers; `None` if there can be none.
fn place_of_rule(from: &str) -> Option<String> {
    if from == ALL {
        return Some(String::new());
    }
    // Two components, because Docker Hub puts `library/` before a single one.
    let below = registry::parse(&format!("{from}/x/x")).ok()?;
    Some(place(&below).strip_suffix("x/x/")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_covers_all_names_of_a_repository_and_no_other() {
        let covers = |from: &str, reference: &str| {
            let rule = Rule { place: place_of_rule(from).unwrap(), keys: Vec::new() };
            let policy = Policy { path: PathBuf::new(), rules: vec![rule] };
            policy.required(Some(&registry::parse(reference).unwrap())).is_some()
        };
        let digest = format!("@sha256:{}", "0".repeat(64));
        for (from, reference) in [
            ("*", "registry.example.com/a:1"),
            ("registry.example.com", "registry.example.com/a:1"),
            ("registry.example.com", "oci://registry.example.com/a/b"),
            ("registry.example.com", &format!("registry.example.com/a:1{digest}")),
            ("registry.example.com", "REGISTRY.Example.com:443/a"),
            ("Registry.example.com:80", "registry.example.com/a"),
            ("oci://registry.example.com/a", "registry.example.com/a"),
            ("registry.example.com/a", "registry.example.com/a/b"),
            ("docker.io", "index.docker.io/a"),
            ("registry-1.docker.io/a", "docker.io/a/b"),
            ("docker.io/library", "docker.io/a"),
            ("localhost:5000", "localhost:5000/a"),
        ] {
            assert!(covers(from, reference), "{from} {reference}");
        }
        for (from, reference) in [
            ("registry.example.com", "registry.example.com:5000/a"),
            ("registry.example.com", "registry.example.com.example.org/a"),
            ("registry.example.com/a", "registry.example.com/ab"),
            ("registry.example.com/a/b", "registry.example.com/a"),
            ("localhost:5000", "localhost:50000/a"),
        ] {
            assert!(!covers(from, reference), "{from} {reference}");
        }
    }

    #[test]
    fn a_rule_that_would_cover_nothing_is_none() {
        for from in [
            "",
            "a",
            "team/queue",
            "https://registry.example.com",
            "registry.example.com/",
            "registry.example.com/*",
            "*.example.com",
            "registry.example.com/a:1",
            "registry.example.com/A",
            " registry.example.com",
        ] {
            assert_eq!(place_of_rule(from), None, "{from}");
        }
    }
}
