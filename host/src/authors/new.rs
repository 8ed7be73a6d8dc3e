//! `new`: a project for a collector in one language, which the tools of that language build.
//!
//! The files are in `host/templates`, a folder for each language; the contract comes from `wit/`, and generated files
//! from xtask.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::contract;
use crate::contract::wit;
use crate::definition::RESERVED_NAME;
use crate::error::Error;
use crate::limits;
use crate::store::BUILTIN_NAMES;
use crate::text::foreign;

/// A file of a project: path and text.
pub type File = (&'static str, &'static str);

/// A file of `host/templates`.
macro_rules! files {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../templates/", $folder, "/", $path)))),*]
    };
}

/// The SDK, from `guests/sdk`.
macro_rules! sdk {
    ($($path:literal),* $(,)?) => {
        &[$((concat!("sdk/", $path), include_str!(concat!("../../../guests/sdk/", $path)))),*]
    };
}

const SDK: &[File] = sdk!(
    "Cargo.toml",
    "src/bindings.rs",
    "src/error.rs",
    "src/http.rs",
    "src/json.rs",
    "src/lib.rs",
    "src/options.rs",
    "src/prometheus.rs",
    "src/report.rs",
    "src/table.rs",
    "src/target.rs",
    "src/tls.rs",
);

/// The languages with a project template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// Rust, for wasm32-wasip2
    Rust,
    /// Go's own compiler
    Go,
    /// Python, by componentize-py
    Python,
    /// JavaScript, by componentize-qjs
    Javascript,
}

impl Language {
    fn files(self) -> &'static [File] {
        match self {
            Language::Rust => files!("rust":
                ".gitignore",
                "Cargo.toml",
                "README.md",
                "src/lib.rs",
            ),
            Language::Go => files!("go":
                ".gitignore",
                "Makefile",
                "README.md",
                "collector/collector.go",
                "collector/container.go",
                "collector/container_wasip1.go",
                "collector/error.go",
                "collector/garbage_wasip1.go",
                "collector/go.mod",
                "collector/http.go",
                "collector/http_wasip1.go",
                "collector/internal/bindings/export_mackerel_collector_metrics/exports.go",
                "collector/internal/current/current.go",
                "collector/native.go",
                "collector/sandbox_wasip1.go",
                "collector/tcp_wasip1.go",
                "collector/transport/transport.go",
                "go.mod",
                "main.go",
                "main_test.go",
            ),
            Language::Python => files!("python":
                ".gitignore",
                "README.md",
                "app.py",
                "queue_page.py",
                "requirements.txt",
                "test_queue_page.py",
            ),
            Language::Javascript => files!("javascript":
                ".gitignore",
                "README.md",
                "collector.js",
                "package.json",
                "queue.js",
                "queue.test.js",
                "text.js",
            ),
        }
    }

    /// The commands to run next, in the project's folder.
    fn commands(self) -> &'static [&'static str] {
        match self {
            Language::Rust => &[
                "cargo test",
                "cargo build --release --target wasm32-wasip2",
                "cp target/wasm32-wasip2/release/{{crate}}.wasm {{name}}.wasm",
            ],
            Language::Go => &["go test ./...", "make"],
            Language::Python => &[
                "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
                "python3 -m unittest",
                ".venv/bin/componentize-py -d wit -w plugin componentize app -o {{name}}.wasm",
            ],
            Language::Javascript => &["npm install", "npm test", "npm run build"],
        }
    }
}

/// Creates the folder `name` in `parent`, and returns the next commands. `go` are the files that xtask generated for
/// Go.
///
/// # Errors
/// If the name is invalid or taken, or the files cannot be written.
pub fn create(name: &str, language: Language, parent: &Path, go: &[File]) -> Result<String, Error> {
    check(name)?;
    let folder = parent.join(name);
    if !parent.is_dir() {
        return Err(Error::usage(format!("no such folder: {}", parent.display())));
    }
    fs::create_dir(&folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::usage(format!("{} exists already: choose another name", folder.display()))
        }
        _ => Error::failed(format!("cannot create {}: {error}", folder.display())),
    })?;
    write(&folder, name, language, go).map_err(|(path, error)| {
        // Remove the incomplete project; this call created the folder.
        let _ = fs::remove_dir_all(&folder);
        Error::failed(format!("cannot write {}: {error}", folder.join(path).display()))
    })?;
    let mut next = format!("created {}; next:\n\n    cd {0}\n", folder.display());
    for command in language.commands() {
        let _ = writeln!(next, "    {}", fill(command, name));
    }
    let _ = writeln!(next, "    mackerel-plugin-wasm install ./{name}.wasm");
    Ok(next)
}

/// Fills in a template.
fn fill(text: &str, name: &str) -> String {
    text.replace("{{name}}", name)
        .replace("{{crate}}", &name.replace('-', "_"))
        .replace("{{contract}}", contract::VERSION)
}

/// Checks that a collector, and a package of every language, can have this name.
fn check(name: &str) -> Result<(), Error> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_word = name.bytes().all(legal) && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-');
    if BUILTIN_NAMES.contains(&name) {
        return Err(Error::usage(format!("{name} is a built-in collector: choose another name")));
    }
    if name == RESERVED_NAME {
        return Err(Error::usage(format!("{name} has another meaning for run: choose another name")));
    }
    if is_word && name.len() <= limits::PROJECT_NAME {
        return Ok(());
    }
    Err(Error::usage(format!(
        "'{}' cannot be a collector's name: expected a-z, 0-9 and -, with a letter first and no - at the end, at most {} characters",
        foreign(name),
        limits::PROJECT_NAME
    )))
}

fn write(folder: &Path, name: &str, language: Language, go: &[File]) -> Result<(), (String, io::Error)> {
    let (contract, more) = match language {
        Language::Rust => ("sdk/wit", SDK),
        Language::Go => ("wit", go),
        Language::Python | Language::Javascript => ("wit", &[][..]),
    };
    let contract = wit::FILES.iter().map(|(path, text)| (format!("{contract}/{path}"), (*text).to_owned()));
    let own = language.files().iter().map(|(path, text)| ((*path).to_owned(), fill(text, name)));
    let more = more.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    for (path, text) in contract.chain(own).chain(more) {
        let file = folder.join(&path);
        let made = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&file, text));
        made.map_err(|error| (path, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use clap::ValueEnum as _;

    use super::*;

    /// Lists all files below a folder, as relative paths.
    fn below(folder: &Path) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.strip_prefix(folder).unwrap().to_owned());
                }
            }
        }
        files
    }

    #[test]
    fn a_project_has_all_files_of_its_template() {
        for language in Language::value_variants() {
            let name = language.to_possible_value().unwrap();
            let there = below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(name.get_name()));
            let here = language.files().iter().map(|(path, _)| PathBuf::from(path)).collect();
            assert_eq!(there, here, "{language:?}");
        }
        let there = below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/sdk"));
        // The contract comes from where it belongs.
        let there = there.into_iter().filter(|path| !path.starts_with("wit")).map(|path| Path::new("sdk").join(path));
        assert_eq!(there.collect::<BTreeSet<_>>(), SDK.iter().map(|(path, _)| PathBuf::from(path)).collect());
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        // A folder stands where the file would go: the first is made on the way to the second.
        let go = [("a/b", "text"), ("a", "text")];
        let error = create("queue", Language::Go, parent.path(), &go).unwrap_err();
        let path = parent.path().join("queue/a");
        assert_eq!(error.to_string(), format!("cannot write {}: Is a directory (os error 21)", path.display()));
        assert_eq!(below(parent.path()), BTreeSet::new());
    }
}
