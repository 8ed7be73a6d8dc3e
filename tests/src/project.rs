//! A collector's project, as `new` writes it, built by the commands that its README names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::agent::program;
use crate::{go, load, skip};

/// A project in a folder of its own, which is removed with it.
pub struct Project {
    folder: TempDir,
    name: &'static str,
}

/// A language that there are projects for, and what its commands need on PATH.
#[derive(Clone, Copy, Debug)]
pub struct Language {
    /// The name that `--lang` takes.
    pub name: &'static str,
    /// Commands that tell whether what is needed is there: they succeed then.
    needs: &'static [&'static str],
}

/// Rust. Its target comes from where the built-in collectors have it from.
pub const RUST: Language = Language { name: "rust", needs: &["cargo --version"] };

/// Go.
pub const GO: Language = Language { name: "go", needs: &["go version", "make --version"] };

/// Python.
pub const PYTHON: Language =
    Language { name: "python", needs: &["python3 -m venv --help", "python3 -m ensurepip --version"] };

/// JavaScript.
pub const JAVASCRIPT: Language = Language { name: "javascript", needs: &["node --version", "npm --version"] };

impl Project {
    /// Writes a project. `None` where the machine cannot build it, which is then said.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
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
            project.keep_what_cargo_builds();
        }
        Some(project)
    }

    /// Its folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// Builds and tests it: types what its README says, up to where the component is there to be used.
    ///
    /// # Panics
    ///
    /// When a command fails, or there is no component then.
    pub fn build(&self) {
        let readme = fs::read_to_string(self.path().join("README.md")).expect("a README");
        let commands = readme.lines().filter_map(|line| line.strip_prefix("    "));
        for command in commands.take_while(|command| !command.starts_with("mackerel-plugin-wasm ")) {
            self.run(command);
        }
        let component = self.path().join(format!("{}.wasm", self.name));
        assert!(component.exists(), "{}: the README's commands do not make it", component.display());
    }

    /// What cargo builds is kept for the next time, and `cargo` is the one that can build for WebAssembly.
    fn keep_what_cargo_builds(&self) {
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

    /// Types a command in its folder. No timed work runs meanwhile.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn run(&self, command: &str) {
        let _load = load::heavy();
        let (succeeded, output) = self.try_run(command, &self.path());
        assert!(succeeded, "{command}: {output}");
    }

    /// Whether a command succeeds, and what it prints. What it downloads is kept for the next time.
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

/// Where downloads and what was built of them are kept from run to run.
fn kept() -> PathBuf {
    go::target().join("templates")
}
