//! Names: the one component of a metric name that stands for a target.
//!
//! Every name is legal, unique within the run, and the same from run to run as long as the same containers stand beside
//! each other.

use std::collections::HashMap;
use std::str::FromStr;

use crate::limits;
use crate::notice::foreign;
use crate::target::Target;

/// `--instance-name`: what a target's name is made of. The formats are mackerel-plugin-docker's, and `port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceName {
    /// The port that is dialled.
    Port,
    /// The container's name.
    Name,
    /// The container's name and the first six characters of its id.
    NameId,
    /// The container's full id.
    Id,
    /// The image's name.
    Image,
    /// The image's name and the first six characters of the container's id.
    ImageId,
    /// The image's and the container's name.
    ImageName,
    /// The value of a label.
    Label(String),
}

impl FromStr for InstanceName {
    type Err = String;

    fn from_str(text: &str) -> Result<InstanceName, String> {
        Ok(match text {
            "port" => InstanceName::Port,
            "name" => InstanceName::Name,
            "name_id" => InstanceName::NameId,
            "id" => InstanceName::Id,
            "image" => InstanceName::Image,
            "image_id" => InstanceName::ImageId,
            "image_name" => InstanceName::ImageName,
            _ => match text.strip_prefix("label:") {
                Some(key) if !key.is_empty() => InstanceName::Label(key.to_owned()),
                _ => {
                    return Err("expected port, name, name_id, id, image, image_id, image_name or label:KEY".to_owned());
                }
            },
        })
    }
}

impl InstanceName {
    /// What `target` is called by this format, before anything is made legal; empty where it has nothing of the kind.
    fn of(&self, target: &Target) -> String {
        if *self == InstanceName::Port {
            return target.address.as_ref().map(|address| address.port.to_string()).unwrap_or_default();
        }
        let Some(container) = &target.container else { return String::new() };
        let (name, image, short) = (&container.name, &container.image, short(&container.id, 6));
        match self {
            InstanceName::Port => String::new(),
            InstanceName::Name => name.clone(),
            InstanceName::NameId => format!("{name}_{short}"),
            InstanceName::Id => container.id.clone(),
            InstanceName::Image => image.clone(),
            InstanceName::ImageId => format!("{image}_{short}"),
            InstanceName::ImageName => format!("{image}_{name}"),
            InstanceName::Label(key) => container.labels.get(key).cloned().unwrap_or_default(),
        }
    }
}

/// Names all targets of a run, in their order, and warns where the format alone does not tell them apart.
///
/// Targets of one name all get a suffix: the beginning of the container's id, or the address. None keeps the bare name, so
/// that no series changes hands when one of them goes away.
pub fn assign(format: &InstanceName, targets: &[Target]) -> (Vec<String>, Option<String>) {
    let bare: Vec<String> = targets.iter().map(|target| legal(&format.of(target))).collect();
    let mut names = bare.clone();
    let mut warning = None;
    for length in SUFFIXES {
        let mut count: HashMap<&str, usize> = HashMap::new();
        for name in &names {
            *count.entry(name).or_default() += 1;
        }
        let clashes: Vec<bool> = names.iter().map(|name| name.is_empty() || count[name.as_str()] > 1).collect();
        let Some(first) = clashes.iter().position(|clash| *clash) else { break };
        warning.get_or_insert_with(|| {
            let number = clashes.iter().filter(|clash| **clash).count();
            let has = if bare[first].is_empty() { "none".to_owned() } else { format!("'{}'", bare[first]) };
            format!(
                "{number} targets are not told apart by --instance-name (of {}: {has}): their id or address is put in",
                foreign(&targets[first].to_string())
            )
        });
        for (index, _) in clashes.iter().enumerate().filter(|(_, clash)| **clash) {
            let suffix = suffix(&targets[index], length);
            names[index] = if bare[index].is_empty() { suffix } else { format!("{}_{suffix}", bare[index]) };
        }
    }
    (names, warning)
}

/// The lengths of suffixes that are tried, until all names differ. An id has 64 characters.
const SUFFIXES: [usize; 3] = [6, 12, 64];

fn suffix(target: &Target, length: usize) -> String {
    match (&target.container, &target.address) {
        (Some(container), _) => legal(short(&container.id, length)),
        (None, Some(address)) if length == SUFFIXES[0] => legal(&address.host),
        // Two hosts can become alike when their dots are replaced: their bytes do not.
        (None, Some(address)) => address.to_string().bytes().map(|byte| format!("{byte:02x}")).collect(),
        (None, None) => String::new(),
    }
}

/// Makes `text` a legal component: what Mackerel does not allow becomes `_`, and what is too long is cut.
fn legal(text: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    text.chars().take(limits::INSTANCE_LENGTH).map(legal).collect()
}

/// The first characters of an id.
fn short(id: &str, length: usize) -> &str {
    id.char_indices().nth(length).map_or(id, |(end, _)| &id[..end])
}
