//! Attacks of the evil collector on one target. A second target of the same run is collected as usual and must not lose
//! a metric.

use serde_json::json;

use crate::agent::{Agent, Output, component};
use crate::load::{self, Guard};
use crate::mask;
use crate::stats::Values;
use crate::stub_target::StubTarget;
use crate::witness::Witness;

/// The value that the good target serves. No attack reports it.
const GOOD_VALUE: f64 = 4711.25;

/// A target that is not attacked.
pub struct GoodTarget(StubTarget);

impl GoodTarget {
    /// Starts several.
    pub fn many(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::default()).collect()
    }

    /// Returns its address, as `--target` takes it.
    pub fn target(&self) -> String {
        self.0.target()
    }

    /// Asserts that a run printed all of its metrics.
    ///
    /// # Panics
    ///
    /// If a metric is missing.
    #[track_caller]
    pub fn assert_complete(&self, output: &Output) {
        let right = Values::from([("stats.goroutine_num".to_owned(), GOOD_VALUE)]);
        assert_eq!(output.metrics().of(&key(self.0.port())), right, "a good target of {output}");
    }
}

impl Default for GoodTarget {
    fn default() -> Self {
        Self(StubTarget::serving(json!({"goroutine_num": GOOD_VALUE})))
    }
}

/// An agent, a target that is attacked, and a good target.
pub struct Scene {
    /// The agent. All runs in one scene are of one plugin.
    pub agent: Agent,
    /// The target that is attacked.
    pub target: Witness,
    good: GoodTarget,
    _load: Guard,
}

impl Scene {
    /// Starts both targets.
    pub fn new() -> Self {
        Self {
            agent: Agent::without_engine(),
            target: Witness::new(),
            good: GoodTarget::default(),
            _load: load::timed(),
        }
    }

    /// Runs an attack in `collect`, with further options. The run succeeds whatever the attack does.
    ///
    /// # Panics
    ///
    /// If the run fails.
    #[track_caller]
    pub fn attack(&self, name: &str, options: &str) -> AttackResult<'_> {
        let Self { agent, target, good, .. } = self;
        let targets = targets([target.target(), good.target()]);
        let command =
            format!("run {} --attack {name} --at {} {targets} {options}", component("evil"), self.target.port());
        let output = agent.run(&command).exits(0);
        AttackResult { output, key: key(target.port()), ports: [target.port(), target.other()], good }
    }

    /// Runs an attack in `graphs`, with further options. No request is sent, and neither values nor definitions are
    /// printed. Returns the one line of stderr, which is the same for both.
    ///
    /// # Panics
    ///
    /// If the program behaves in another way.
    #[track_caller]
    pub fn attack_graphs(&self, name: &str, code: i32, options: &str) -> String {
        let command = format!("run {} --attack {name} {options}", component("evil"));
        let values = self.agent.run(&format!("{command} --target {}", self.target.target())).exits(code);
        assert_eq!(self.target.requests(), [""; 0], "{values}");
        let definitions = self.agent.definitions(&command).exits(code);
        let [values, definitions] = [values, definitions].map(|output| {
            assert_eq!(output.stdout, "", "{output}");
            one_line(&output)
        });
        assert_eq!(values, definitions);
        values
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

/// The result of a run with an attack.
pub struct AttackResult<'s> {
    output: Output,
    key: String,
    /// The ports of the target and of its neighbour.
    ports: [u16; 2],
    good: &'s GoodTarget,
}

impl AttackResult<'_> {
    /// Returns the metrics of the attacked target. Only those of the good target may stand beside them.
    #[track_caller]
    fn values(&self) -> Values {
        let Self { output, key, good, .. } = self;
        good.assert_complete(output);
        let values = output.metrics().of(key);
        assert_eq!(output.metrics().count(), values.len() + 1, "metrics of no target in {output}");
        values
    }

    /// Returns the one line of stderr.
    ///
    /// # Panics
    ///
    /// If metrics of the attacked target were printed, or other lines.
    #[track_caller]
    pub fn diagnostic(&self) -> String {
        assert_eq!(self.values(), Values::new(), "{}", self.output);
        self.line()
    }

    /// Returns the metrics of the attacked target and the one line of stderr.
    ///
    /// # Panics
    ///
    /// If there are more lines.
    #[track_caller]
    pub fn values_and_diagnostic(&self) -> (Vec<(String, f64)>, String) {
        (self.values().into_iter().collect(), self.line())
    }

    /// Returns the one line with all ports masked.
    #[track_caller]
    fn line(&self) -> String {
        self.ports.iter().fold(one_line(&self.output), |line, port| line.replace(&format!(":{port}"), ":PORT"))
    }

    /// Returns the metrics of the attacked target.
    ///
    /// # Panics
    ///
    /// If stderr is not empty.
    #[track_caller]
    pub fn values_only(&self) -> Vec<(String, f64)> {
        let values = self.values();
        assert_eq!(self.output.stderr, "", "{}", self.output);
        values.into_iter().collect()
    }

    /// Returns the output of the run.
    pub fn output(&self) -> &Output {
        &self.output
    }
}

/// Returns the one line of stderr, masked as by [`lines`].
///
/// # Panics
///
/// If there is not exactly one line.
#[track_caller]
pub fn one_line(output: &Output) -> String {
    assert_eq!(output.stderr.lines().count(), 1, "lines of {output}");
    lines(output)
}

/// Returns the lines of stderr. Masks what changes from run to run.
///
/// # Panics
///
/// If they hold control characters or have 1000 characters.
#[track_caller]
pub fn lines(output: &Output) -> String {
    let visible = |letter: char| letter == '\n' || !letter.is_control() && letter != '\u{202e}';
    assert!(output.stderr.chars().all(visible), "{:?}", output.stderr);
    assert!(output.stderr.lines().all(|line| line.chars().count() < 1000), "{output}");
    mask::ports(&output.stderr.replace(&component("evil"), "evil.wasm"))
}

/// Returns the addresses as options.
pub fn targets(addresses: impl IntoIterator<Item = String>) -> String {
    let options: Vec<_> = addresses.into_iter().map(|address| format!("--target {address}")).collect();
    options.join(" ")
}

fn key(port: u16) -> String {
    format!("evil.{port}")
}
