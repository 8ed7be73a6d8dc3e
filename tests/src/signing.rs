//! An author and an operator with keys, for scenarios about signatures.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::{Agent, Output};
use crate::openssl::KeyPair;
use crate::third_party::{named, padded};
use crate::{mask, skip};

/// An author and an operator on one machine, with keys of two people.
pub struct Signing {
    /// Runs the program with a store of its own.
    pub agent: Agent,
    /// The folder of all files, with the store in `store`.
    pub folder: TempDir,
    /// The key of the operator.
    pub ops: KeyPair,
    /// Another key.
    pub eve: KeyPair,
}

impl Signing {
    /// Creates the keys, and the files `strange.wasm` and `other.wasm`. Reports it if there is no openssl.
    ///
    /// # Panics
    ///
    /// If a file cannot be written.
    pub fn new() -> Option<Self> {
        if !skip::has_commands(&["openssl"], "signatures") {
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder");
        let agent = Agent::without_engine()
            .with_env("DOCKER_CONFIG", folder.path())
            .with_env("MACKEREL_PLUGIN_WASM_STORE", folder.path().join("store"));
        let [ops, eve] = ["ops", "eve"].map(|name| KeyPair::create(folder.path(), name));
        let signing = Self { agent, folder, ops, eve };
        signing.file("strange.wasm", &named("strange"));
        signing.file("other.wasm", &padded(named("strange"), 100));
        Some(signing)
    }

    /// Returns the path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and returns its path.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).expect("a file in a folder of our own");
        self.path(name)
    }

    /// Pushes a file, signed if there is a key, and returns the digest of its manifest.
    ///
    /// # Panics
    ///
    /// If it is not accepted.
    #[track_caller]
    pub fn push(&self, name: &str, reference: &str, key: Option<&KeyPair>) -> String {
        let key = key.map(|key| format!("--sign-key {}", key.private.display())).unwrap_or_default();
        let output = self.agent.run(&format!("push {} {reference} {key}", self.path(name).display())).exits(0);
        let line = output.stdout.lines().find_map(|line| line.strip_prefix("digest    "));
        line.unwrap_or_else(|| panic!("no digest in {output}")).to_owned()
    }

    /// Installs from a source, and requires a signature if there is a key.
    pub fn install(&self, source: &str, key: Option<&KeyPair>) -> Output {
        let key = key.map(|key| format!("--verify-key {}", key.public.display())).unwrap_or_default();
        self.agent.run(&format!("install {source} {key}"))
    }

    /// Returns all files in the store with their content. Empty if there is no store.
    pub fn store(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.path("store")).into_iter().flatten().flatten();
        entries.map(|entry| (entry.path(), fs::read(entry.path()).unwrap_or_default())).collect()
    }

    /// Asserts that a command is refused and leaves the store as it was. Returns its stderr.
    ///
    /// # Panics
    ///
    /// If it is not so.
    #[track_caller]
    pub fn refused(&self, command: &str) -> String {
        let before = self.store();
        let output = self.agent.run(command).exits(1);
        assert_eq!(output.stdout, "", "{command}");
        assert_eq!(self.store(), before, "{command}: the store has changed");
        self.mask(&output.stderr)
    }

    /// Asserts that an installation with a required signature is refused.
    ///
    /// # Panics
    ///
    /// If it is not so.
    #[track_caller]
    pub fn install_is_refused(&self, source: &str, key: &KeyPair) -> String {
        self.refused(&format!("install {source} --verify-key {}", key.public.display()))
    }

    /// Writes a file of the store.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn in_store(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::create_dir_all(self.path("store")).expect("a folder");
        fs::set_permissions(self.path("store"), Permissions::from_mode(0o700)).expect("our own folder");
        let path = self.file(&format!("store/{name}"), content.as_ref());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own file");
        path
    }

    /// Writes the policy of the store, and the public keys beside it.
    ///
    /// # Panics
    ///
    /// If they cannot be written.
    pub fn policy(&self, rules: &[(&str, &[&str])]) {
        for key in [&self.ops, &self.eve] {
            let name = key.public.file_name().and_then(|name| name.to_str()).expect("a name");
            self.in_store(name, fs::read(&key.public).expect("our own file"));
        }
        let rules: Vec<Value> = rules.iter().map(|(from, keys)| json!({"from": from, "keys": keys})).collect();
        self.in_store("policy", json!({"format": 1, "require": rules}).to_string());
    }

    /// Masks what changes from run to run.
    pub fn mask(&self, text: &str) -> String {
        let text = mask::path(text, self.folder.path(), "FOLDER");
        let [ops, eve] = [&self.ops, &self.eve].map(KeyPair::fingerprint);
        let text = text.replace(&ops, "KEY-OF-OPS").replace(&eve, "KEY-OF-EVE");
        mask::size(&mask::digests(&mask::ports(&text)))
    }
}
