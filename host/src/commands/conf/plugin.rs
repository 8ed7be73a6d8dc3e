//! The program on an instance: where it comes from, and how it is installed.
//!
//! | `--plugin-from` | `--plugin-sums` | the instance installs |
//! |---|---|---|
//! | the URL of a file | | this program itself, as that file |
//! | the URL of a folder | `SHA256SUMS` | the rpm package of that release for its architecture |

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::diagnostics::print;
use crate::error::Error;
use crate::file::read_named_text;
use crate::limits;
use crate::store;
use crate::text::foreign;
use crate::version::VERSION;

/// The installation of the program.
pub struct Plugin {
    /// The path of the program on the instance.
    pub program: &'static str,
    /// The shell commands that install it. They use the new file `$new`.
    pub commands: String,
    /// The permission that the download needs.
    pub permission: Option<String>,
}

impl Plugin {
    /// Plans the installation from `url`; `sums` is the file with the SHA-256 of all files of a release.
    ///
    /// # Errors
    /// If the sums cannot be read, or lack a package.
    pub fn new(url: &str, sums: Option<&Path>) -> Result<Plugin, Error> {
        match sums {
            None => Plugin::of_file(url),
            Some(path) => Plugin::of_release(url.trim_end_matches('/'), path),
        }
    }

    /// Installs this program, as the file at `url`.
    fn of_file(url: &str) -> Result<Plugin, Error> {
        let program = "/usr/local/bin/mackerel-plugin-wasm";
        let (download, digest) = (download(&format!("'{url}'")), own_digest()?);
        Ok(Plugin {
            program,
            commands: format!(
                "{download}\necho \"{digest}  $new\" | sha256sum -c -\ninstall -m 755 \"$new\" {program}"
            ),
            permission: permission(url),
        })
    }

    /// Installs the package for the instance's architecture from the folder `url`.
    fn of_release(url: &str, sums: &Path) -> Result<Plugin, Error> {
        let text = read_named_text("--plugin-sums", sums, limits::RELEASE_SUMS)
            .map_err(|error| Error::usage(error.to_string()))?;
        let mut choices = String::new();
        for arch in ["x86_64", "aarch64"] {
            let (digest, file) = package(&text, arch).ok_or_else(|| {
                let path = sums.display();
                Error::usage(format!(
                    "--plugin-sums {path}: no rpm package for {arch}: use the file SHA256SUMS of a release"
                ))
            })?;
            if !file.starts_with(&format!("mackerel-plugin-wasm-{VERSION}-")) {
                let file = foreign(file);
                print(&format!("this program is {VERSION}, but the instance installs {file}: options can differ"));
            }
            let _ = writeln!(choices, "{arch}) file={file} sum={digest} ;;");
        }
        let download = download(&format!("'{url}/'\"$file\""));
        let commands = format!(
            "arch=$(uname -m)\n\
             case $arch in\n\
             {choices}\
             *) echo \"there is no package for $arch\" >&2; exit 1 ;;\n\
             esac\n\
             {download}\n\
             echo \"$sum  $new\" | sha256sum -c -\n\
             rpm -U --replacepkgs --oldpackage \"$new\""
        );
        let permission = permission(&format!("{url}/*"));
        Ok(Plugin { program: "/usr/bin/mackerel-plugin-wasm", commands, permission })
    }
}

/// Finds the rpm package of an architecture: its SHA-256 and its name.
fn package<'a>(sums: &'a str, arch: &str) -> Option<(&'a str, &'a str)> {
    let is_plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-~+".contains(&b));
    sums.lines().filter_map(|line| line.split_once("  ")).find(|(digest, file)| {
        let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let is_package = file.starts_with("mackerel-plugin-wasm-") && file.ends_with(&format!(".{arch}.rpm"));
        is_digest && is_package && is_plain(file)
    })
}

/// Returns the command that downloads the quoted `url` to `$new`.
fn download(url: &str) -> String {
    if url.starts_with("'s3://") {
        format!("aws s3 cp --only-show-errors {url} \"$new\"")
    } else {
        format!("curl -fsSL --retry 5 -o \"$new\" {url}")
    }
}

fn permission(url: &str) -> Option<String> {
    url.strip_prefix("s3://").map(|object| format!("s3:GetObject of {object}"))
}

/// Returns the SHA-256 of this program.
fn own_digest() -> Result<String, Error> {
    // This path works even if another program has replaced the file.
    let bytes = fs::read("/proc/self/exe");
    bytes
        .map(|bytes| store::digest::digest(&bytes))
        .map_err(|error| Error::failed(format!("cannot read this program: {error}")))
}

#[cfg(test)]
mod tests {
    use super::package;

    #[test]
    fn package_is_found_by_its_architecture() {
        let digest = "0123456789abcdef".repeat(4);
        let line = |file: &str| format!("{digest}  {file}\n");
        let sums = line("mackerel-plugin-wasm_linux_amd64.zip") + &line("mackerel-plugin-wasm-0.1.0-1.aarch64.rpm");
        assert_eq!(package(&sums, "aarch64"), Some((digest.as_str(), "mackerel-plugin-wasm-0.1.0-1.aarch64.rpm")));
        assert_eq!(package(&sums, "x86_64"), None);
    }

    #[test]
    fn line_that_is_not_a_plain_name_and_a_digest_is_ignored() {
        let digest = "0123456789abcdef".repeat(4);
        for line in [
            format!("{digest}  mackerel-plugin-wasm-$(id).x86_64.rpm"),
            format!("{digest}  ../mackerel-plugin-wasm-1.x86_64.rpm"),
            format!("{}  mackerel-plugin-wasm-1.x86_64.rpm", &digest[1..]),
            format!("{} mackerel-plugin-wasm-1.x86_64.rpm", digest.replace('0', "'")),
        ] {
            assert_eq!(package(&line, "x86_64"), None, "{line}");
        }
    }
}
