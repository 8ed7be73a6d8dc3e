//! Names: the one component of a metric name that stands for a target.
//!
//! Every name is legal, unique within the run, and the same from run to run as long as the same containers stand beside
//! each other.

use std::collections::HashMap;
use std::str::FromStr;

use crate::limits;
use crate::pipeline::target::Target;
use crate::text::foreign;

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
    /// The target's [slot](crate::pipeline::slot), behind the value of this label where one is given.
    Slot(Option<String>),
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
            "slot" => InstanceName::Slot(None),
            _ => {
                let key = |prefix| text.strip_prefix(prefix).filter(|key: &&str| !key.is_empty()).map(str::to_owned);
                match (key("label:"), key("slot:label:")) {
                    (Some(key), _) => InstanceName::Label(key),
                    (None, Some(key)) => InstanceName::Slot(Some(key)),
                    (None, None) => {
                        let all =
                            "port, name, name_id, id, image, image_id, image_name, label:KEY, slot or slot:label:KEY";
                        return Err(format!("expected {all}"));
                    }
                }
            }
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
            // Slots are given by the state.
            InstanceName::Port | InstanceName::Slot(_) => String::new(),
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
    let bare: Vec<String> = targets.iter().map(|target| legal(&format.of(target), limits::INSTANCE_LENGTH)).collect();
    let mut names = bare.clone();
    let mut warning = None;
    // A name can be made up of another's and its id. Whole ids differ, so each further round puts one to a target that had none.
    let whole = std::iter::repeat_n(WHOLE, targets.len());
    for length in SUFFIXES.into_iter().chain(whole) {
        let mut count: HashMap<&str, usize> = HashMap::new();
        for name in &names {
            *count.entry(name).or_default() += 1;
        }
        let clashes: Vec<bool> = names.iter().map(|name| name.is_empty() || count[name.as_str()] > 1).collect();
        let Some(first) = clashes.iter().position(|clash| *clash) else { break };
        // That fixed targets on one port of several hosts carry their hosts' names surprises nobody.
        if warning.is_none() && targets[first].container.is_some() {
            let others = match clashes.iter().filter(|clash| **clash).count() - 1 {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            warning = Some(format!(
                "--instance-name gives no name of its own to {}{others}: the beginning of the container's id is put in",
                foreign(&targets[first].to_string())
            ));
        }
        for (index, _) in clashes.iter().enumerate().filter(|(_, clash)| **clash) {
            let suffix = suffix(&targets[index], length);
            names[index] = if bare[index].is_empty() { suffix } else { format!("{}_{suffix}", bare[index]) };
        }
    }
    (names, warning)
}

/// The length of an id.
const WHOLE: usize = 64;

/// The lengths of suffixes that are tried, until all names differ.
const SUFFIXES: [usize; 2] = [6, 12];

fn suffix(target: &Target, length: usize) -> String {
    match (&target.container, &target.address) {
        (Some(container), _) => legal(short(&container.id, length), WHOLE),
        (None, Some(address)) if length == SUFFIXES[0] => legal(&address.host, limits::INSTANCE_LENGTH),
        // Two hosts can become alike when their dots are replaced: their bytes do not.
        (None, Some(address)) => hex::encode(address.to_string()),
        (None, None) => String::new(),
    }
}

/// Makes `text` a legal component: what Mackerel does not allow becomes `_`, and what is too long is cut.
pub fn legal(text: &str, length: usize) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    text.chars().take(length).map(legal).collect()
}

/// The first characters of an id.
fn short(id: &str, length: usize) -> &str {
    id.char_indices().nth(length).map_or(id, |(end, _)| &id[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::engine::Container;

    fn target(id: &str, name: &str, labels: &[(&str, &str)]) -> Target {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let container = Container {
            id: format!("{id}{}", "0".repeat(64 - id.len())),
            name: name.to_owned(),
            image: "registry/shop:1.2".to_owned(),
            labels: labels.iter().map(text).collect(),
            ..Container::default()
        };
        Target {
            address: "127.0.0.1:32768".parse().ok(),
            container: Some(container),
            container_port: Some(8080),
            how: String::new(),
        }
    }

    fn names(format: &str, targets: &[Target]) -> (Vec<String>, Option<String>) {
        assign(&format.parse().unwrap(), targets)
    }

    #[test]
    fn every_format_gives_what_mackerel_plugin_docker_gives() {
        let target = target("5bde5612", "api.1", &[("app", "shop/eu")]);
        for (format, name) in [
            ("port", "32768"),
            ("name", "api_1"),
            ("name_id", "api_1_5bde56"),
            ("image", "registry_shop_1_2"),
            ("image_id", "registry_shop_1_2_5bde56"),
            ("image_name", "registry_shop_1_2_api_1"),
            ("label:app", "shop_eu"),
        ] {
            assert_eq!(names(format, std::slice::from_ref(&target)), (vec![name.to_owned()], None), "{format}");
        }
        let id = format!("5bde5612{}", "0".repeat(56));
        assert_eq!(names("id", &[target]), (vec![id], None));
    }

    #[test]
    fn targets_of_one_name_all_get_the_beginning_of_their_ids_and_one_warning() {
        let all = [target("aaaaaaaa", "api", &[]), target("bbbbbbbb", "web", &[]), target("cccccccc", "api", &[])];
        let (names, warning) = names("name", &all);
        assert_eq!(names, ["api_aaaaaa", "web", "api_cccccc"]);
        assert_eq!(
            warning.unwrap(),
            "--instance-name gives no name of its own to api (127.0.0.1:32768) and 1 more: the beginning of the container's \
             id is put in"
        );
    }

    #[test]
    fn ids_that_begin_alike_and_names_that_look_like_suffixed_ones_stay_apart() {
        let all = [target("aaaaaa1", "api", &[]), target("aaaaaa2", "api", &[]), target("c", "api_aaaaaa", &[])];
        let (mut names, _) = names("name", &all);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3);
    }

    #[test]
    fn a_missing_or_empty_label_gives_the_beginning_of_the_id() {
        let all =
            [target("aaaaaaaa", "a", &[]), target("bbbbbbbb", "b", &[("app", "")]), target("c", "c", &[("app", "x")])];
        let (names, warning) = names("label:app", &all);
        assert_eq!(names, ["aaaaaa", "bbbbbb", "x"]);
        assert!(warning.is_some());
    }

    #[test]
    fn fixed_targets_with_one_port_are_told_apart_by_their_hosts() {
        let fixed = |text: &str| Target::fixed(text.parse::<Address>().unwrap());
        let all = [fixed("10.0.0.1:80"), fixed("10.0.0.2:80"), fixed("[::1]:81")];
        assert_eq!(names("port", &all).0, ["80_10_0_0_1", "80_10_0_0_2", "81"]);
        let all = [fixed("a.b:80"), fixed("a_b:80")];
        let (names, _) = names("port", &all);
        assert!(names[0] != names[1] && names.iter().all(|name| crate::definition::is_component(name)));
    }

    #[test]
    fn every_name_is_legal_whatever_a_container_is_called() {
        for name in ["", "/", "a b\n", "日本語", "..", "#", "*", "\u{1b}[2J", &"x".repeat(10_000)] {
            let (names, _) = names("name", &[target("abc", name, &[])]);
            assert!(crate::definition::is_component(&names[0]), "{name:?} {names:?}");
            assert!(names[0].len() <= limits::INSTANCE_LENGTH);
        }
    }
}
