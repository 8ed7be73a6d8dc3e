//! References of secrets: where an instance gets them from.

use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;
use crate::text::Expected;

/// The reference of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A parameter of AWS Systems Manager.
    Ssm(String),
    /// A secret of AWS Secrets Manager.
    SecretsManager(String),
    /// A file that exists on the instance.
    File(String),
}

impl FromStr for Reference {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Reference, Expected> {
        // References are written into a shell's quotes.
        let is_plain = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.:@+=-".contains(&b))
        };
        match text.split_once(':') {
            Some((kind, name)) if is_plain(name) => match kind {
                "ssm" => Ok(Reference::Ssm(name.to_owned())),
                "secretsmanager" => Ok(Reference::SecretsManager(name.to_owned())),
                "file" if name.starts_with('/') => Ok(Reference::File(name.to_owned())),
                _ => Err(FORMS),
            },
            _ => Err(FORMS),
        }
    }
}

const FORMS: Expected = Expected("ssm:PARAMETER, secretsmanager:SECRET or file:/PATH, never the secret itself");

impl Reference {
    /// Returns the command that prints the secret.
    pub fn command(&self) -> String {
        match self {
            Reference::Ssm(name) => {
                format!("aws ssm get-parameter --with-decryption --name '{name}' --query Parameter.Value --output text")
            }
            Reference::SecretsManager(name) => {
                format!("aws secretsmanager get-secret-value --secret-id '{name}' --query SecretString --output text")
            }
            Reference::File(path) => format!("cat '{path}'"),
        }
    }

    /// Returns the permission that the instance needs for it.
    pub fn permission(&self) -> Option<String> {
        match self {
            Reference::Ssm(name) => Some(format!("ssm:GetParameter of {name}")),
            Reference::SecretsManager(name) => Some(format!("secretsmanager:GetSecretValue of {name}")),
            Reference::File(_) => None,
        }
    }
}

/// Parses a reference. clap does not do that, because its error would print a secret that was given by mistake.
pub fn reference(option: &str, text: &str) -> Result<Reference, Error> {
    text.parse().map_err(|why| Error::usage(format!("{option}: {why}")))
}

/// Parses `PATH=REFERENCE`.
///
/// # Errors
/// If it has another form.
pub fn secret_from(text: &str) -> Result<(PathBuf, Reference), Error> {
    let wrong = || Error::usage(format!("--secret-from: expected PATH=REFERENCE: {FORMS}"));
    let (path, from) = text.split_once('=').filter(|(path, _)| path.starts_with('/')).ok_or_else(wrong)?;
    Ok((path.into(), reference("--secret-from", from)?))
}
