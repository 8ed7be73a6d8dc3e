//! mackerel-plugin-docker.

use super::go_flags::{Flag, Kind, Values};
use super::plugin::{Plugin, Words, decimals};
use crate::error::Error;
use crate::pipeline::output::Value;
use crate::pipeline::protocol;
use crate::text::foreign;

pub const PLUGIN: Plugin = Plugin { name: "mackerel-plugin-docker", flags: FLAGS, words, number };

const FLAGS: &[Flag] = &[
    Flag { name: "command", kind: Kind::Text, default: "docker", help: "Has no effect" },
    Flag { name: "cpu-format", kind: Kind::Text, default: "", help: "percentage, the default, or usage" },
    Flag { name: "host", kind: Kind::Text, default: "unix:///var/run/docker.sock", help: "Host for socket" },
    Flag {
        name: "label",
        kind: Kind::Text,
        default: "",
        help: "The label whose value is the name, for the name format label",
    },
    Flag { name: "method", kind: Kind::Text, default: "", help: "API, or empty" },
    Flag {
        name: "name-format",
        kind: Kind::Text,
        default: "name_id",
        help: "The format of names: name, name_id, id, image, image_id, image_name or label",
    },
    Flag { name: "tempfile", kind: Kind::Text, default: "", help: "The state is kept in the folder NAME.state" },
];

const NAME_FORMATS: [&str; 7] = ["name", "name_id", "id", "image", "image_id", "image_name", "label"];

/// Graphs of gauges. The plugin prints them as integers, and rates with decimals.
const GAUGES: [&str; 2] = ["docker.memory.", "docker.blkio.io_queued."];

fn words(flags: &Values) -> Result<Words, Error> {
    let (format, label, method) = (flags.text("name-format"), flags.text("label"), flags.text("method"));
    if !NAME_FORMATS.contains(&format) {
        let formats = NAME_FORMATS.join(", ");
        return Err(Error::failed(format!("-name-format={}: expected one of {formats}", foreign(format))));
    }
    if format == "label" && label.is_empty() {
        return Err(Error::failed("-name-format=label needs -label"));
    }
    if !matches!(method, "" | "API") {
        return Err(Error::failed(format!("-method={}: expected API", foreign(method))));
    }
    let name = if format == "label" { format!("label:{label}") } else { format.to_owned() };
    let cpu_format = if flags.text("cpu-format") == "usage" { "usage" } else { "percentage" };
    let host = flags.text("host");
    let host = host.strip_prefix("http://").map_or_else(|| host.to_owned(), |rest| format!("tcp://{rest}"));
    let words = ["docker", "--docker-host", &host, "--instance-name", &name, "--cpu-format", cpu_format];
    let mut words = Words::new(&words);
    words.push(&["--include-infrastructure"]);
    Ok(words)
}

fn number(value: &Value) -> String {
    let is_gauge = GAUGES.iter().any(|graph| value.key.starts_with(graph));
    if is_gauge { protocol::exact(value) } else { decimals(value) }
}
