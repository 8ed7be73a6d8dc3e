//! Drop-in names: called by the name of a Go plugin, such as by a symbolic link, the program takes that plugin's flags
//! and prints that plugin's output.
//!
//! The flags become the words of an ordinary `run`. Only the number format and the place of the state have no option of
//! `run`: they are in the session.

mod docker;
mod go_flags;
mod gostats;
mod plugin;
mod redis;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use self::go_flags::{Fault, Values};
use self::plugin::{Plugin, Words};
use crate::commands::{explain, run};
use crate::error::Error;
use crate::session::DropIn;

/// A call by the name of a plugin.
pub enum Call {
    /// A run with these words after `run`.
    Run(Vec<OsString>, DropIn),
    /// A request for help: the text.
    Help(String),
    /// Nothing to print: the reason.
    Nothing(String),
}

/// Reads the command line of the plugin by whose name the program was called. `None` if it was called by another name.
///
/// # Errors
/// If the plugin rejects the command line, or its flags have no counterpart.
pub fn call(arguments: &[OsString]) -> Option<Result<Call, Error>> {
    Some(plugin(arguments)?.call(&arguments[1..]))
}

/// Returns true if the program was called by the name of a plugin.
pub fn is_called(arguments: &[OsString]) -> bool {
    plugin(arguments).is_some()
}

fn plugin(arguments: &[OsString]) -> Option<&'static Plugin> {
    static PLUGINS: [Plugin; 3] = [gostats::PLUGIN, docker::PLUGIN, redis::PLUGIN];
    let name = Path::new(arguments.first()?).file_name()?;
    PLUGINS.iter().find(|plugin| name == plugin.name)
}

impl Plugin {
    fn call(&self, words: &[OsString]) -> Result<Call, Error> {
        let name = self.name;
        let values = match Values::parse(self.flags, words) {
            Ok(values) => values,
            Err(Fault::Help) => return Ok(Call::Help(go_flags::help(name, self.flags))),
            Err(fault) => return Err(Error::usage(format!("{name}: {fault}; {name} -help lists all flags"))),
        };
        let Words { mut all, password_file, no_values } =
            (self.words)(&values).map_err(|error| Error::failed(format!("{name}: {error}")))?;
        if let Some(reason) = no_values.filter(|_| !run::wants_definitions()) {
            return Ok(Call::Nothing(format!("{name}: {reason}")));
        }
        let words = |words: &[String]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
        let mut shown = words(&all);
        if let Some(path) = password_file {
            shown.extend(["--password-file".into(), "PATH".into()]);
            all.extend(["--password-file".to_owned(), path]);
        }
        let drop_in = DropIn {
            // A private folder, because anyone can write to the folder that holds such a file.
            state: values.find("tempfile").map(|path| PathBuf::from(format!("{path}.state"))),
            number: self.number,
            explain: explain::SUBCOMMAND.command_line(&shown),
        };
        Ok(Call::Run(words(&all), drop_in))
    }
}

#[cfg(test)]
mod tests {
    use super::plugin::{decimals, whole_or_decimals};
    use super::*;
    use crate::pipeline::output::Value;

    fn words(line: &str) -> Result<String, String> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        match call(&arguments).expect("the name of a plugin") {
            Ok(Call::Run(words, _)) => Ok(words.join(std::ffi::OsStr::new(" ")).into_string().unwrap()),
            Ok(Call::Help(text) | Call::Nothing(text)) => Ok(text),
            Err(error) => Err(format!("{:?}: {error}", error.exit_code())),
        }
    }

    #[test]
    fn only_the_names_of_plugins_are_drop_ins() {
        for name in ["mackerel-plugin-wasm", "mackerel-plugin-mysql", "gostats", "mackerel-plugin-gostats.bak", "/"] {
            assert!(call(&[name.into(), "-port=1".into()]).is_none(), "{name}");
        }
        assert!(call(&[]).is_none());
        for name in ["mackerel-plugin-gostats", "./mackerel-plugin-docker", "/usr/bin/mackerel-plugin-redis"] {
            assert!(call(&[name.into()]).is_some(), "{name}");
        }
    }

    #[test]
    fn flags_become_words_of_run() {
        let gostats = "gostats --target localhost:8080 --scheme http --path /api/stats";
        let named = "--metric-key-prefix gostats --instance-name none";
        let redis = "--metric-key-prefix redis --instance-name none --timeout 5s";
        let docker = "--cpu-format percentage --include-infrastructure";
        for (line, expected) in [
            ("mackerel-plugin-gostats", format!("{gostats} {named}")),
            ("mackerel-plugin-gostats -port 32768 -path=/stats -metric-key-prefix=gostats.32768",
             "gostats --target localhost:32768 --scheme http --path /stats --metric-key-prefix gostats.32768 --instance-name none".to_owned()),
            ("mackerel-plugin-gostats --uri https://[::1]/a?b=c#d -host x",
             format!("gostats --target [::1]:443 --scheme https --path /a?b=c {named}")),
            ("mackerel-plugin-gostats -host my_app -path=", format!("gostats --target my_app:8080 --scheme http --path / {named}")),
            ("mackerel-plugin-docker", format!("docker --docker-host unix:///var/run/docker.sock --instance-name name_id {docker}")),
            ("mackerel-plugin-docker -host=http://127.0.0.1:2375 -name-format label -label app -command x -method API -cpu-format x",
             format!("docker --docker-host tcp://127.0.0.1:2375 --instance-name label:app {docker}")),
            ("mackerel-plugin-docker -cpu-format usage -name-format=image",
             "docker --docker-host unix:///var/run/docker.sock --instance-name image --cpu-format usage --include-infrastructure".to_owned()),
            ("mackerel-plugin-redis", format!("redis --target localhost:6379 {redis} --config-command CONFIG")),
            ("mackerel-plugin-redis -host ::1 -metric-key-prefix= -tls -tls-skip-verify=true -config-command= -username me",
             format!("redis --target [::1]:6379 {redis} --exclude capacity.* --tls --tls-skip-verify")),
            ("mackerel-plugin-redis -timeout 0x -h", "2".to_owned()),
        ] {
            match words(line) {
                Ok(words) => assert_eq!(words, expected, "{line}"),
                Err(error) => assert!(error.contains(&expected), "{line}: {error}"),
            }
        }
    }

    #[test]
    fn values_have_the_digits_of_the_go_plugins_unless_they_would_be_zero() {
        let of =
            |number: fn(&Value) -> String, value| number(&Value { key: "docker.cpuacct.a.user".to_owned(), value });
        for (value, whole, decimal) in [
            (0.0, "0", "0.000000"),
            (-0.0, "0", "0.000000"),
            (12_876_040.0, "12876040", "12876040.000000"),
            (-1.0, "-1", "-1.000000"),
            (0.5, "0.500000", "0.500000"),
            (0.123_456_789, "0.123457", "0.123457"),
            (0.000_000_123, "0.000000123", "0.000000123"),
            (-0.000_000_123, "-0.000000123", "-0.000000123"),
        ] {
            assert_eq!((of(whole_or_decimals, value).as_str(), of(decimals, value).as_str()), (whole, decimal));
        }
    }
}
