//! A collector project as `new` writes it, built by the commands of its README.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::agent::program;
use crate::{go, load, skip};

/// Projects in Rust share a target folder. cargo locks it only while it compiles, and `cargo test` uses it afterwards.
static SHARED_TARGET: Mutex<()> = Mutex::new(());

/// A project in a temporary folder.
pub struct Project {
    folder: TempDir,
    name: &'static str,
}

/// A language of projects, and the commands that it needs on PATH.
#[derive(Clone, Copy, Debug)]
pub struct Language {
    /// The name that `--lang` takes.
    pub name: &'static str,
    /// Commands that succeed if the tools are installed.
    needs: &'static [&'static str],
}

/// Rust, with the WebAssembly target of the built-in collectors.
pub const RUST: Language = Language { name: "rust", needs: &["cargo --version"] };

/// Go.
pub const GO: Language = Language { name: "go", needs: &["go version", "make --version"] };

/// Python.
pub const PYTHON: Language =
    Language { name: "python", needs: &["python3 -m venv --help", "python3 -m ensurepip --version"] };

/// JavaScript.
pub const JAVASCRIPT: Language = Language { name: "javascript", needs: &["node --version", "npm --version"] };

impl Project {
    /// Writes a project. Reports it if this machine cannot build it.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn new(name: &'static str, language: Language) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let project = Self { folder, name };
        if let Some(missing) = language.needs.iter().find(|command| !project.try_run(command, project.folder.path()).0)
        {
            let what = format!("no `{missing}` on this machine");
            skip::notice(&what, &format!("the project that `new --lang {}` writes", language.name));
            return None;
        }
        let (succeeded, output) = project
            .try_run(&format!("mackerel-plugin-wasm new {name} --lang {}", language.name), project.folder.path());
        assert!(succeeded, "new: {output}");
        if language.name == RUST.name {
            project.share_cargo_target();
        }
        Some(project)
    }

    /// Returns its folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// Builds and tests it by the commands of its README, up to the first one that uses the component.
    ///
    /// # Panics
    ///
    /// If a command fails, or there is no component afterwards.
    pub fn build(&self) {
        let readme = fs::read_to_string(self.path().join("README.md")).expect("a README");
        let commands = readme.lines().filter_map(|line| line.strip_prefix("    "));
        for command in commands.take_while(|command| !command.starts_with("mackerel-plugin-wasm ")) {
            self.run(command);
        }
        let component = self.path().join(format!("{}.wasm", self.name));
        assert!(component.exists(), "{}: the commands of the README do not create it", component.display());
    }

    /// Keeps cargo's target folder for the next run, and makes `cargo` the one that can build for WebAssembly.
    fn share_cargo_target(&self) {
        let kept = kept().join("rust");
        fs::create_dir_all(&kept).expect("a folder");
        std::os::unix::fs::symlink(kept, self.path().join("target")).expect("a link");
        let cargo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.wasm-toolchain/guest-cargo");
        let text = format!(
            "#!/bin/sh\nPATH=${{PATH#*:}}\ncase \"$*\" in *wasm32*) exec {} \"$@\";; *) exec cargo \"$@\";; esac\n",
            cargo.display()
        );
        let command = self.folder.path().join("bin/cargo");
        fs::create_dir(self.folder.path().join("bin")).expect("a folder");
        fs::write(&command, text).expect("a file");
        fs::set_permissions(&command, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("permissions");
    }

    /// Runs a command in its folder. No timed work runs meanwhile.
    ///
    /// # Panics
    ///
    /// If it fails.
    #[track_caller]
    pub fn run(&self, command: &str) {
        let _load = load::heavy();
        let _turn = SHARED_TARGET.lock().unwrap_or_else(PoisonError::into_inner);
        let (succeeded, output) = self.try_run(command, &self.path());
        assert!(succeeded, "{command}: {output}");
    }

    /// Runs a command. Returns whether it succeeded, and its output. Downloads are kept for the next run.
    fn try_run(&self, command: &str, folder: &Path) -> (bool, String) {
        let kept = kept();
        let mut path = self.folder.path().join("bin").into_os_string();
        path.push(":");
        path.push(program().parent().expect("a program is in a folder"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(folder)
            .env("PATH", path)
            .env("PIP_CACHE_DIR", kept.join("pip"))
            .env("npm_config_cache", kept.join("npm"))
            .env("npm_config_prefer_offline", "true")
            .env("GOTOOLCHAIN", "local")
            .output()
            .expect("a shell can be started");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), text.concat())
    }
}

/// Returns the folder of downloads and builds that are kept between runs.
fn kept() -> PathBuf {
    go::target().join("templates")
}
