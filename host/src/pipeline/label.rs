//! Labels: the endpoints that a container declares for its own monitoring.
//!
//! | label | value |
//! |---|---|
//! | `PREFIX.collector` | the collector's name |
//! | `PREFIX.port` | the container's port |
//! | `PREFIX.name` | the beginning of the endpoint's name in metric names |
//! | `PREFIX.OPTION` | the value of an option of the collector |
//!
//! Several endpoints have an index: `PREFIX.0.collector`, `PREFIX.1.collector`. Keys have the characters `a-z`, `0-9`,
//! `-` and `.`, which ECS accepts as `dockerLabels`.
//!
//! Labels are untrusted. Nothing here reaches further than the container itself: a label names no host, address, file,
//! secret or limit, and a fault costs one endpoint of this container.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::limits;
use crate::text::{Expected, Foreign, foreign, joined, listed};

/// The first part of the keys of all labels that this program reads, without the dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPrefix(String);

impl FromStr for LabelPrefix {
    type Err = Expected;

    fn from_str(text: &str) -> Result<LabelPrefix, Expected> {
        let is_key = text.split('.').all(is_key);
        is_key.then(|| LabelPrefix(text.to_owned())).ok_or(Expected("a-z, 0-9, - and ., such as com.example.metrics"))
    }
}

impl fmt::Display for LabelPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An endpoint, as declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The index in its keys.
    pub index: Option<u16>,
    /// The collector's name.
    pub collector: String,
    /// The container's port.
    pub port: Option<u16>,
    /// The beginning of its name in metric names.
    pub name: Option<String>,
    /// Options of the collector, as keys and values.
    pub options: BTreeMap<String, String>,
}

/// The declarations of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The endpoints, in the order of their indices.
    pub endpoints: Vec<Endpoint>,
    /// The faults.
    pub faults: Vec<Fault>,
    /// The named collectors of the endpoints that are left out because of faults.
    pub faulty_collectors: Vec<String>,
}

/// A label that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("label {key}: {reason}")]
pub struct Fault {
    /// The key.
    key: Foreign,
    /// The reason.
    reason: String,
}

impl Fault {
    /// A fault of the label with this key.
    pub fn new(key: &str, reason: impl Into<String>) -> Fault {
        Fault { key: foreign(key), reason: reason.into() }
    }
}

/// Joins the faults of one container for a message.
pub fn join(faults: &[Fault]) -> String {
    joined(&faults.iter().map(ToString::to_string).collect::<Vec<_>>(), "; ")
}

impl LabelPrefix {
    /// Returns the key of a label of the endpoint with `index`.
    pub fn key(&self, index: Option<u16>, key: &str) -> String {
        match index {
            Some(index) => format!("{self}.{index}.{key}"),
            None => format!("{self}.{key}"),
        }
    }

    /// Reads the endpoints that `labels` declare.
    pub fn endpoints(&self, labels: &BTreeMap<String, String>) -> Declared {
        let mut groups: BTreeMap<Option<u16>, (Endpoint, bool)> = BTreeMap::new();
        let mut faults = Vec::new();
        let own = |key: &'_ String| key.strip_prefix(self.0.as_str())?.strip_prefix('.').map(str::to_owned);
        let own = labels.iter().filter_map(|(key, value)| Some((key, own(key)?, value)));
        for (count, (label, rest, value)) in own.enumerate() {
            if count == limits::LABELS_OF_ONE {
                let faults = vec![Fault::new(&self.0, format!("more than {count} labels"))];
                return Declared { faults, ..Declared::default() };
            }
            let (index, key) = match rest.split_once('.') {
                Some((index, key)) => (parse_index(index).map(Some), key),
                None => (Some(None), rest.as_str()),
            };
            let Some(index) = index.filter(|_| is_key(key)) else {
                faults.push(Fault::new(label, "expected PREFIX.KEY or PREFIX.INDEX.KEY, in a-z, 0-9 and -"));
                continue;
            };
            let new = || (Endpoint { index, ..Endpoint::default() }, false);
            let (endpoint, has_fault) = groups.entry(index).or_insert_with(new);
            if let Err(reason) = endpoint.set(key, value) {
                faults.push(Fault::new(label, reason));
                *has_fault = true;
            }
        }
        let (bad, good): (Vec<_>, Vec<_>) = groups.into_values().partition(|(_, has_fault)| *has_fault);
        let mut endpoints: Vec<Endpoint> = good.into_iter().map(|(endpoint, _)| endpoint).collect();
        for endpoint in endpoints.extract_if(.., |endpoint| endpoint.collector.is_empty()) {
            faults.push(Fault::new(&self.key(endpoint.index, COLLECTOR), "missing"));
        }
        if endpoints.len() > limits::ENDPOINTS_OF_ONE {
            let reason = format!("{} endpoints, of at most {}", endpoints.len(), limits::ENDPOINTS_OF_ONE);
            faults.push(Fault::new(&self.0, reason));
            endpoints.clear();
        }
        let faulty_collectors = bad.into_iter().map(|(endpoint, _)| endpoint.collector).collect();
        Declared { endpoints, faults, faulty_collectors }
    }
}

/// The key of the collector's name.
pub const COLLECTOR: &str = "collector";

/// The key of the container's port.
pub const PORT: &str = "port";

/// The key of the beginning of an endpoint's name.
pub const NAME: &str = "name";

impl Endpoint {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if value.is_empty() || value.len() > limits::LABEL_VALUE || value.chars().any(char::is_control) {
            return Err(format!(
                "expected 1 to {} bytes without control characters, got {} bytes",
                limits::LABEL_VALUE,
                value.len()
            ));
        }
        match key {
            COLLECTOR => value.clone_into(&mut self.collector),
            PORT => {
                let port =
                    value.parse().ok().filter(|port| *port > 0 && value.starts_with(|c: char| c.is_ascii_digit()));
                self.port =
                    Some(port.ok_or_else(|| format!("expected a port from 1 to 65535, got '{}'", foreign(value)))?);
            }
            NAME => self.name = Some(value.to_owned()),
            _ => {
                self.options.insert(key.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    /// Names the labels with their values, for `explain`.
    pub fn describe(&self, prefix: &LabelPrefix) -> String {
        let port = self.port.map(|port| port.to_string());
        let fixed = [(COLLECTOR, Some(&self.collector)), (PORT, port.as_ref()), (NAME, self.name.as_ref())];
        let fixed = fixed.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let options = self.options.iter().map(|(key, value)| (key.as_str(), value));
        let labels: Vec<String> =
            fixed.chain(options).map(|(key, value)| format!(".{key}={}", foreign(value))).collect();
        format!(
            "labels {} {}",
            self.index.map_or_else(|| prefix.to_string(), |index| format!("{prefix}.{index}")),
            listed(&labels)
        )
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Parses an index. Each index has one form, so that no two keys mean the same label.
fn parse_index(text: &str) -> Option<u16> {
    text.parse::<u16>().ok().filter(|index| index.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)]) -> (Vec<Endpoint>, Vec<String>) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let Declared { endpoints, faults, .. } = "p.q".parse::<LabelPrefix>().unwrap().endpoints(&labels);
        (endpoints, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn three_labels_declare_an_endpoint_and_other_labels_are_ignored() {
        let labels = [("p.q.collector", "gostats"), ("p.q.port", "8080"), ("p.q.path", "/stats"), ("p.qx.port", "x")];
        let expected = Endpoint {
            collector: "gostats".to_owned(),
            port: Some(8080),
            options: [("path".to_owned(), "/stats".to_owned())].into(),
            ..Endpoint::default()
        };
        assert_eq!(read(&labels), (vec![expected], Vec::new()));
        assert_eq!(read(&[("app", "web"), ("p.qcollector", "redis")]), (Vec::new(), Vec::new()));
    }

    #[test]
    fn endpoints_with_an_index_stand_beside_one_without() {
        let labels = [("p.q.10.collector", "c"), ("p.q.2.collector", "b"), ("p.q.2.name", "n"), ("p.q.collector", "a")];
        let (endpoints, faults) = read(&labels);
        let seen: Vec<_> = endpoints.iter().map(|of| (of.index, of.collector.as_str(), of.name.as_deref())).collect();
        assert_eq!(seen, [(None, "a", None), (Some(2), "b", Some("n")), (Some(10), "c", None)]);
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn a_bad_label_costs_its_endpoint_alone() {
        let long = "x".repeat(limits::LABEL_VALUE + 1);
        for (key, value, fault) in [
            ("p.q.0.port", "0", "label p.q.0.port: expected a port from 1 to 65535, got '0'"),
            ("p.q.0.port", "+80", "label p.q.0.port: expected a port from 1 to 65535, got '+80'"),
            ("p.q.0.port", "web:80", "label p.q.0.port: expected a port from 1 to 65535, got 'web:80'"),
            ("p.q.0.path", "", "label p.q.0.path: expected 1 to 1024 bytes without control characters, got 0 bytes"),
            (
                "p.q.0.path",
                "/\r\nHost: x",
                "label p.q.0.path: expected 1 to 1024 bytes without control characters, got 10 bytes",
            ),
            (
                "p.q.0.path",
                &long,
                "label p.q.0.path: expected 1 to 1024 bytes without control characters, got 1025 bytes",
            ),
        ] {
            let (endpoints, faults) = read(&[("p.q.0.collector", "a"), (key, value), ("p.q.1.collector", "b")]);
            assert_eq!(endpoints.iter().map(|of| of.index).collect::<Vec<_>>(), [Some(1)], "{key}={value}");
            assert_eq!(faults, [fault]);
        }
    }

    #[test]
    fn keys_of_other_forms_and_endpoints_without_a_collector_are_faults() {
        for key in ["p.q.", "p.q.Port", "p.q.a_b", "p.q.01.port", "p.q.-1.port", "p.q.65536.port", "p.q.0.a.b"] {
            let (endpoints, faults) = read(&[("p.q.collector", "a"), (key, "1")]);
            assert_eq!(endpoints.len(), 1, "{key}");
            assert_eq!(faults, [format!("label {key}: expected PREFIX.KEY or PREFIX.INDEX.KEY, in a-z, 0-9 and -")]);
        }
        assert_eq!(read(&[("p.q.7.port", "80")]), (Vec::new(), vec!["label p.q.7.collector: missing".to_owned()]));
    }

    #[test]
    fn too_many_endpoints_or_labels_declare_none() {
        let of = |count: usize, key: &str| -> BTreeMap<String, String> {
            (0..count).map(|number| (format!("p.{number}.{key}"), "a".to_owned())).collect()
        };
        let prefix: LabelPrefix = "p".parse().unwrap();
        let most = limits::ENDPOINTS_OF_ONE;
        assert_eq!(prefix.endpoints(&of(most, COLLECTOR)).endpoints.len(), most);
        for (count, fault) in
            [(most + 1, "label p: 17 endpoints, of at most 16"), (500, "label p: more than 200 labels")]
        {
            let Declared { endpoints, faults, .. } = prefix.endpoints(&of(count, COLLECTOR));
            assert_eq!((endpoints, join(&faults)), (Vec::new(), fault.to_owned()));
        }
    }

    #[test]
    fn a_prefix_is_made_of_keys() {
        for text in ["", ".", "a.", "A", "a b", "a/b", "com.example."] {
            assert!(text.parse::<LabelPrefix>().is_err(), "{text}");
        }
    }
}
