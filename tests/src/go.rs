//! Builds the Go programs that scenarios collect from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::skip;

/// A Go program of this folder.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Program {
    /// `tests/app`: an ordinary Go service with its runtime statistics under `/stats`.
    App,
    /// `tests/faults`: a server that misbehaves in one way.
    Faults,
    /// `tests/otelreceiver`: the OTLP receiver of the OpenTelemetry Collector, which writes everything to a file.
    OtelReceiver,
    /// `tests/promapp`: an ordinary Go service with its metrics under `/metrics`, in Prometheus' form.
    PromApp,
    /// `tests/tlsfront`: TLS in front of something that speaks plainly.
    TlsFront,
    /// `tests/work`: uses a known amount of one resource.
    Work,
}

impl Program {
    /// Returns the name of its folder and executable.
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Faults => "faults",
            Self::OtelReceiver => "otelreceiver",
            Self::PromApp => "promapp",
            Self::TlsFront => "tlsfront",
            Self::Work => "work",
        }
    }

    /// Returns the static executable, which the first call builds. Reports it if there is no Go.
    ///
    /// # Panics
    ///
    /// If the build fails.
    pub fn executable(self) -> Option<PathBuf> {
        skip::has_commands(&["go"], "scenarios that collect from real Go programs").then(|| {
            let path = target().join("scenarios").join(self.name());
            build(self, &path);
            path
        })
    }
}

fn build(program: Program, path: &Path) {
    static BUILT: [OnceLock<()>; 6] = [const { OnceLock::new() }; 6];
    BUILT[program as usize].get_or_init(|| {
        let output = Command::new("go")
            .args(["build", "-trimpath", "-o"])
            .arg(path)
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(program.name()))
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            .output()
            .expect("go can be started");
        assert!(output.status.success(), "go build of {program:?}: {}", String::from_utf8_lossy(&output.stderr));
    });
}

/// Returns cargo's target folder, which contains the running test.
///
/// # Panics
///
/// If the test does not run in it.
pub fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    // The file is in the folder `deps` of a profile.
    test.ancestors().nth(3).expect("a test runs inside cargo's target folder").to_owned()
}
