//! The evil collector at work: an attack at one target, and beside it, in the same run, an honest look at another that must not
//! lose anything by it.

use serde_json::json;

use crate::agent::{Agent, Output, component};
use crate::load::{self, Guard};
use crate::mask;
use crate::stand_in::StandIn;
use crate::stats::Values;
use crate::witness::Witness;

/// What the good target tells: a number that no attack makes up.
const TOLD: f64 = 4711.25;

/// A target that is not attacked.
pub struct Good(StandIn);

impl Good {
    /// Some of them.
    pub fn many(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::default()).collect()
    }

    /// Its address, as `--target` takes it.
    pub fn target(&self) -> String {
        self.0.target()
    }

    /// Asserts that a run printed all that it tells.
    ///
    /// # Panics
    ///
    /// When the run did not.
    #[track_caller]
    pub fn assert_whole(&self, output: &Output) {
        let right = Values::from([("stats.goroutine_num".to_owned(), TOLD)]);
        assert_eq!(output.metrics().of(&key(self.0.port())), right, "a good target of {output}");
    }
}

impl Default for Good {
    fn default() -> Self {
        Self(StandIn::telling(json!({"goroutine_num": TOLD})))
    }
}

/// An agent, a target that is attacked, and a good one beside it.
pub struct Scene {
    /// The agent. Runs on one scene are runs of one plugin.
    pub agent: Agent,
    /// The target that is attacked.
    pub target: Witness,
    good: Good,
    _load: Guard,
}

impl Scene {
    /// A new one.
    pub fn new() -> Self {
        Self { agent: Agent::alone(), target: Witness::new(), good: Good::default(), _load: load::timed() }
    }

    /// Runs an attack in `collect`, with further options. However it goes, the run ends well.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn attack(&self, name: &str, options: &str) -> Attacked<'_> {
        let Self { agent, target, good, .. } = self;
        let targets = targets([target.target(), good.target()]);
        let command =
            format!("run {} --attack {name} --at {} {targets} {options}", component("evil"), self.target.port());
        let output = agent.values(&command).exits(0);
        Attacked { output, key: key(target.port()), ports: [target.port(), target.other()], good }
    }

    /// Runs an attack in `graphs`, with further options: no target is asked, and neither values nor definitions are printed.
    /// Gives the one line that the operator reads both times.
    ///
    /// # Panics
    ///
    /// When the program does anything else.
    #[track_caller]
    pub fn attack_graphs(&self, name: &str, code: i32, options: &str) -> String {
        let command = format!("run {} --attack {name} {options}", component("evil"));
        let values = self.agent.values(&format!("{command} --target {}", self.target.target())).exits(code);
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

/// What a run left in which a target was attacked.
pub struct Attacked<'s> {
    output: Output,
    key: String,
    /// The target's, and its neighbour's.
    ports: [u16; 2],
    good: &'s Good,
}

impl Attacked<'_> {
    /// What was printed of the target that was attacked. Beside it, the good target's figures were printed, and nothing else
    /// was.
    #[track_caller]
    fn values(&self) -> Values {
        let Self { output, key, good, .. } = self;
        good.assert_whole(output);
        let values = output.metrics().of(key);
        assert_eq!(output.metrics().count(), values.len() + 1, "metrics of nobody in {output}");
        values
    }

    /// The one line that the operator reads. Of the attacked target nothing is printed.
    ///
    /// # Panics
    ///
    /// When that is not so.
    #[track_caller]
    pub fn complaint(&self) -> String {
        assert_eq!(self.values(), Values::new(), "{}", self.output);
        self.line()
    }

    /// What is printed of the attacked target, and the one line that the operator reads beside it.
    ///
    /// # Panics
    ///
    /// When there are more lines.
    #[track_caller]
    pub fn values_and_complaint(&self) -> (Vec<(String, f64)>, String) {
        (self.values().into_iter().collect(), self.line())
    }

    /// The one line, with the ports masked behind whatever they stand.
    #[track_caller]
    fn line(&self) -> String {
        self.ports.iter().fold(one_line(&self.output), |line, port| line.replace(&format!(":{port}"), ":PORT"))
    }

    /// What is printed of the attacked target, where the operator reads nothing.
    ///
    /// # Panics
    ///
    /// When he does.
    #[track_caller]
    pub fn values_alone(&self) -> Vec<(String, f64)> {
        let values = self.values();
        assert_eq!(self.output.stderr, "", "{}", self.output);
        values.into_iter().collect()
    }

    /// The output as it was.
    pub fn output(&self) -> &Output {
        &self.output
    }
}

/// The one line of stderr, as [`lines`] shows it.
///
/// # Panics
///
/// When there are more lines, or none.
#[track_caller]
pub fn one_line(output: &Output) -> String {
    assert_eq!(output.stderr.lines().count(), 1, "lines of {output}");
    lines(output)
}

/// The lines of stderr, with what changes from run to run masked.
///
/// # Panics
///
/// When they would steer a terminal, or are longer than a log's reader likes.
#[track_caller]
pub fn lines(output: &Output) -> String {
    let visible = |letter: char| letter == '\n' || !letter.is_control() && letter != '\u{202e}';
    assert!(output.stderr.chars().all(visible), "{:?}", output.stderr);
    assert!(output.stderr.lines().all(|line| line.chars().count() < 1000), "{output}");
    mask::ports(&output.stderr.replace(&component("evil"), "evil.wasm"))
}

/// The addresses as options.
pub fn targets(addresses: impl IntoIterator<Item = String>) -> String {
    let options: Vec<_> = addresses.into_iter().map(|address| format!("--target {address}")).collect();
    options.join(" ")
}

fn key(port: u16) -> String {
    format!("evil.{port}")
}
