//! Identities: the options that separate the state of one plugin command from that of another.
//!
//! An identity has four parts, from the general to the particular. The name of a state file has a hash of each part
//! together with those before it. So two commands are compared by the names of their state files:
//!
//! | equal up to | differ in, for example | then |
//! |---|---|---|
//! | metrics | `--filter` | metrics of equal names overwrite each other |
//! | targets | `--path` | slots are those of the same containers |
//! | readings | `--select` | counters are those of the same targets, read in the same way |
//! | output | nothing | they are the same command |

use sha2::{Digest, Sha256};

use crate::limits;

/// The options that the state of a plugin command depends on. Secrets are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The collector's name.
    pub collector: String,
    /// The prefix of all metric names.
    pub prefix: String,
    /// The collector's name or file on the command line, unless it is built in: a component that takes a built-in's
    /// name does not get its counters.
    pub component: Option<String>,
    /// False for a command that posts no metrics: no other command has its names or counters.
    pub posts_metrics: bool,
    /// The options that change the targets or their slots.
    pub targets: Vec<String>,
    /// The options of the collector: two of them can read different counters from one target.
    pub readings: Vec<String>,
    /// The options that only change the printed metrics.
    pub output: Vec<String>,
}

/// The name of a state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    whole: String,
    /// The lengths of its beginnings up to the hashes of metrics, targets and readings.
    ends: [usize; 3],
}

/// The hexadecimal digits of the hash of each part. The last one alone identifies a command.
const DIGITS: [usize; 4] = [8, 8, 8, 16];

/// The end of the name of every state file.
pub const EXTENSION: &str = ".json";

impl Identity {
    /// Returns the name of the command's state file.
    pub fn file_name(&self) -> FileName {
        let Identity { collector, prefix, component, posts_metrics, targets, readings, output } = self;
        let mut metrics: Vec<String> =
            [collector, prefix].into_iter().chain(component).map(|text| format!("metrics={text}")).collect();
        metrics.extend((!posts_metrics).then(|| "no metrics".to_owned()));
        // The file system limits names, and the collector's is hashed too.
        let mut whole = format!("{}-", &collector[..collector.len().min(limits::PROJECT_NAME)]);
        let mut hash = Sha256::new();
        let ends = [&metrics, targets, readings, output].into_iter().zip(DIGITS).map(|(part, digits)| {
            for text in part {
                hash.update(text.as_bytes());
                hash.update([0]);
            }
            hash.update([1]);
            whole.push_str(&hex::encode(hash.clone().finalize())[..digits]);
            whole.len()
        });
        let ends: Vec<usize> = ends.collect();
        whole.push_str(EXTENSION);
        FileName { whole, ends: [ends[0], ends[1], ends[2]] }
    }
}

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.whole
    }

    /// Returns true if a command with this state file posts metrics with the same prefix.
    pub fn shares_metrics_with(&self, other: &str) -> bool {
        other.starts_with(&self.whole[..self.ends[0]])
    }

    /// Returns true if a command with this state file has the same targets and names.
    pub fn shares_targets_with(&self, other: &str) -> bool {
        other.starts_with(&self.whole[..self.ends[1]])
    }

    /// Returns true if a command with this state file reads the same from the same targets.
    pub fn shares_readings_with(&self, other: &str) -> bool {
        other.starts_with(&self.whole[..self.ends[2]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            collector: "gostats".to_owned(),
            prefix: "gostats".to_owned(),
            component: None,
            posts_metrics: true,
            targets: vec!["filter=name=a".to_owned()],
            readings: vec!["option=path=/stats".to_owned()],
            output: vec!["select=gc.*".to_owned()],
        }
    }

    /// Compares the state files of two commands: metrics, targets, readings, everything.
    fn common(identity: &Identity, other: &Identity) -> [bool; 4] {
        let (one, other) = (identity.file_name(), other.file_name());
        let name = other.as_str();
        [one.shares_metrics_with(name), one.shares_targets_with(name), one.shares_readings_with(name), one == other]
    }

    #[test]
    fn state_files_of_similar_commands_have_names_that_begin_alike() {
        let changed = |text: &str| vec![text.to_owned()];
        let of = |change: &dyn Fn(&mut Identity)| {
            let mut other = identity();
            change(&mut other);
            common(&identity(), &other)
        };
        assert_eq!(of(&|_| {}), [true; 4]);
        assert_eq!(of(&|other| other.output = changed("select=memory.*")), [true, true, true, false]);
        assert_eq!(of(&|other| other.readings = changed("option=path=/")), [true, true, false, false]);
        assert_eq!(of(&|other| other.targets = changed("filter=name=b")), [true, false, false, false]);
        assert_eq!(of(&|other| other.prefix = "web".to_owned()), [false; 4]);
        assert_eq!(of(&|other| other.posts_metrics = false), [false; 4]);
        assert_eq!(of(&|other| other.component = Some("gostats".to_owned())), [false; 4]);
    }

    #[test]
    fn options_of_two_parts_are_not_confused() {
        let (mut one, mut other) = (identity(), identity());
        (one.readings, one.output) = (vec!["a".to_owned(), "b".to_owned()], Vec::new());
        (other.readings, other.output) = (vec!["a".to_owned()], vec!["b".to_owned()]);
        assert_eq!(common(&one, &other), [true, true, false, false]);
        (one.readings, other.readings) = (vec!["a".to_owned()], vec!["a".to_owned(), String::new()]);
        assert_eq!(common(&one, &other), [true, true, false, false]);
    }

    #[test]
    fn a_long_collector_name_is_cut_and_still_distinguished() {
        let identity = Identity { collector: "x".repeat(limits::KEY_LENGTH), ..identity() };
        assert!(format!("{}.lock", identity.file_name().as_str()).len() <= 255);
        let other = Identity { collector: format!("{}y", "x".repeat(limits::KEY_LENGTH - 1)), ..identity.clone() };
        assert_eq!(common(&identity, &other), [false; 4]);
    }
}
