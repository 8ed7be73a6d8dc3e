//! Keys and signatures by the command openssl: independent of the program that checks them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A key pair in two files: `NAME.key` and `NAME.pub`.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The private key, PKCS#8 in PEM.
    pub private: PathBuf,
    /// The public key in PEM.
    pub public: PathBuf,
}

/// Runs openssl with this input, and returns its output.
///
/// # Panics
///
/// If it fails.
pub fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().expect("openssl can be started");
    process.stdin.take().expect("a pipe").write_all(input).expect("openssl reads its input");
    let output = process.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}

/// Returns the Base64 of these bytes.
///
/// # Panics
///
/// If openssl fails.
pub fn base64(bytes: &[u8]) -> String {
    String::from_utf8(openssl(&["base64", "-A"], bytes)).expect("Base64")
}

impl KeyPair {
    /// Creates a key pair as cosign uses it: ECDSA P-256.
    ///
    /// # Panics
    ///
    /// If openssl fails.
    pub fn create(folder: &Path, name: &str) -> Self {
        Self::of_curve(folder, name, "P-256")
    }

    /// Creates a key pair on another curve.
    ///
    /// # Panics
    ///
    /// If openssl fails.
    pub fn of_curve(folder: &Path, name: &str, curve: &str) -> Self {
        let curve = format!("ec_paramgen_curve:{curve}");
        let private = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", &curve], b"");
        let public = openssl(&["pkey", "-pubout"], &private);
        let [private, public] = [("key", private), ("pub", public)].map(|(extension, pem)| {
            let path = folder.join(format!("{name}.{extension}"));
            fs::write(&path, pem).expect("a file");
            path
        });
        Self { private, public }
    }

    /// Returns a signature of these bytes, in Base64.
    ///
    /// # Panics
    ///
    /// If openssl fails.
    pub fn sign(&self, bytes: &[u8]) -> String {
        base64(&openssl(&["dgst", "-sha256", "-sign", &self.private.display().to_string()], bytes))
    }

    /// Returns true if openssl finds that this signature in Base64 is of these bytes.
    ///
    /// # Panics
    ///
    /// If openssl cannot decode it.
    pub fn verifies(&self, bytes: &[u8], signature: &str) -> bool {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), openssl(&["base64", "-d", "-A"], signature.as_bytes())).expect("a temporary file");
        let mut command = Command::new("openssl");
        command.args(["dgst", "-sha256", "-verify"]).arg(&self.public).arg("-signature").arg(file.path());
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("openssl");
        process.stdin.take().expect("a pipe").write_all(bytes).expect("openssl reads its input");
        process.wait().expect("openssl ends").success()
    }

    /// Returns the fingerprint of the public key: the SHA-256 of its DER in hexadecimal.
    ///
    /// # Panics
    ///
    /// If openssl fails.
    pub fn fingerprint(&self) -> String {
        let pem = fs::read(&self.public).expect("our own file");
        crate::third_party::sha256(&openssl(&["pkey", "-pubin", "-outform", "DER"], &pem))
    }
}
