//! Names: the component of a metric name that identifies a target.
//!
//! Every name is legal, unique within the run, and the same from run to run while the same containers run beside each
//! other.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use crate::ecs::{FAMILY_LABEL, NAME_LABEL, TASK_LABEL};
use crate::engine::Container;
use crate::limits;
use crate::pipeline::target::Target;
use crate::text::{Expected, foreign};

/// `--instance-name`: how targets are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceName {
    /// By a property of the target.
    Given(Format),
    /// By its [slot](crate::pipeline::slot), after the value of this label if there is one.
    Slot(Option<String>),
}

/// A name that the target itself gives. The formats are those of mackerel-plugin-docker, and `port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// The published port or, if there is none, the container's.
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
    /// No name: the only target, whose metrics have no such component.
    Absent,
}

impl FromStr for InstanceName {
    type Err = Expected;

    fn from_str(text: &str) -> Result<InstanceName, Expected> {
        let key = |prefix| text.strip_prefix(prefix).filter(|key: &&str| !key.is_empty()).map(str::to_owned);
        let format = match text {
            "port" => Format::Port,
            "name" => Format::Name,
            "name_id" => Format::NameId,
            "id" => Format::Id,
            "image" => Format::Image,
            "image_id" => Format::ImageId,
            "image_name" => Format::ImageName,
            "none" => Format::Absent,
            "slot" => return Ok(InstanceName::Slot(None)),
            _ => match (ecs_label(text).or(key("label:")), key("slot:").and_then(|name| ecs_label(&name))) {
                (Some(key), _) => Format::Label(key),
                (None, Some(key)) => return Ok(InstanceName::Slot(Some(key))),
                (None, None) => {
                    if let Some(key) = key("slot:label:") {
                        return Ok(InstanceName::Slot(Some(key)));
                    }
                    return Err(Expected(
                        "port, name, name_id, id, image, image_id, image_name, none, ecs-container, ecs-family, \
                         ecs-task, label:KEY, slot, slot:label:KEY, slot:ecs-container, slot:ecs-family or slot:ecs-task",
                    ));
                }
            },
        };
        Ok(InstanceName::Given(format))
    }
}

/// A label that the ECS agent does not set: the last part of the ARN of the task.
const TASK_ID: &str = "com.amazonaws.ecs.task-id";

/// Returns the label of a name by ECS.
fn ecs_label(name: &str) -> Option<String> {
    let label = match name {
        "ecs-container" => NAME_LABEL,
        "ecs-family" => FAMILY_LABEL,
        "ecs-task" => TASK_ID,
        _ => return None,
    };
    Some(label.to_owned())
}

/// Returns the value of a container's label.
pub fn label<'a>(container: &'a Container, key: &str) -> Option<&'a str> {
    let value = |key: &str| container.labels.get(key).map(String::as_str);
    match (value(key), value(TASK_LABEL)) {
        (None, Some(arn)) if key == TASK_ID => arn.rsplit('/').next(),
        (value, _) => value,
    }
}

impl Format {
    /// Returns the name of `target`, before it is made legal. It is empty if the target has none of this kind.
    fn of(&self, target: &Target) -> String {
        match (self, &target.container) {
            (Format::Port, _) => target.routes.name_port.map(|port| port.to_string()).unwrap_or_default(),
            (Format::Absent, _) | (_, None) => String::new(),
            (Format::Name, Some(container)) => container.name.clone(),
            (Format::NameId, Some(container)) => format!("{}_{}", container.name, short(&container.id, SHORT_ID)),
            (Format::Id, Some(container)) => container.id.clone(),
            (Format::Image, Some(container)) => container.image.clone(),
            (Format::ImageId, Some(container)) => format!("{}_{}", container.image, short(&container.id, SHORT_ID)),
            (Format::ImageName, Some(container)) => format!("{}_{}", container.image, container.name),
            (Format::Label(key), Some(container)) => label(container, key).unwrap_or_default().to_owned(),
        }
    }
}

/// Returns the name of `target`, before it is made unique: the format's, after the name that its labels declare. It is
/// empty if the format gives none.
///
/// Labels change no name of another container: the declared name is only a beginning, and the port in it is one that no
/// other container can have, or stands before the container's id.
fn bare(format: &Format, target: &Target) -> String {
    let name = legal(&format.of(target), limits::INSTANCE_LENGTH);
    let (Some(labelled), Some(container)) = (&target.labelled, &target.container) else { return name };
    if name.is_empty() {
        return name;
    }
    let name = match format {
        Format::Port if !target.has_host_port() => format!("{name}_{}", short(&container.id, SHORT_ID)),
        _ => name,
    };
    match &labelled.name {
        // The first underscore ends it.
        Some(beginning) => format!("{}_{name}", legal(beginning, limits::LABEL_NAME).replace('_', "-")),
        None => name,
    }
}

/// Adds the index of its labels to the name of each endpoint that has the name of another one of its container.
fn part_endpoints(names: &mut [String], targets: &[Target]) {
    let key = |place: usize, name: &str| Some((targets[place].container.as_ref()?.id.clone(), name.to_owned()));
    let mut seen = HashSet::new();
    for (place, name) in names.iter_mut().enumerate().filter(|(place, _)| targets[*place].labelled.is_some()) {
        let index = targets[place].labelled.as_ref().and_then(|labelled| labelled.index);
        if !seen.insert(key(place, name)) {
            *name = format!("{name}_{}", index.unwrap_or_default());
        }
    }
}

/// Names all targets of a run, in their order, and returns a warning if the format does not make the names unique.
///
/// Targets with equal names all get a suffix: the beginning of the container's id, or the address. None of them keeps
/// the bare name, so that no series passes to another container when one of them goes away.
pub fn assign(format: &Format, targets: &[Target]) -> (Vec<String>, Option<String>) {
    if *format == Format::Absent {
        return (vec![String::new(); targets.len()], None);
    }
    let mut bare: Vec<String> = targets.iter().map(|target| bare(format, target)).collect();
    part_endpoints(&mut bare, targets);
    let is_named_by_label = |place: usize| targets[place].labelled.as_ref().is_some_and(|of| of.name.is_some());
    let is_missing = matches!(format, Format::Label(_)) && bare.iter().all(String::is_empty);
    let mut names = bare.clone();
    let mut warning = None;
    // A container can be named like another with its suffix. Whole ids differ, so each further round resolves one more
    // clash.
    let whole = std::iter::repeat_n(WHOLE, targets.len());
    for length in SUFFIXES.into_iter().chain(whole) {
        // A name that labels declare gives way to one that they do not.
        let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
        for (place, name) in names.iter().enumerate() {
            let (all, others) = counts.entry(name).or_default();
            *all += 1;
            *others += usize::from(!is_named_by_label(place));
        }
        let clashes = |(place, name): (usize, &String)| {
            let (all, others) = counts[name.as_str()];
            name.is_empty() || (if is_named_by_label(place) { all } else { others }) > 1
        };
        let clashes: Vec<bool> = names.iter().enumerate().map(clashes).collect();
        let Some(first) = clashes.iter().position(|clash| *clash) else { break };
        // Fixed targets on one port of several hosts get their hosts' names; that needs no warning. A label that nobody
        // has gets one of its own.
        if warning.is_none() && targets[first].container.is_some() && !is_missing {
            let others = match clashes.iter().filter(|clash| **clash).count() - 1 {
                0 => String::new(),
                1 => " and 1 more container".to_owned(),
                others => format!(" and {others} more containers"),
            };
            warning = Some(format!(
                "--instance-name is not unique for {}{others}; appended the container id",
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

/// The length of a whole id.
const WHOLE: usize = 64;

/// The lengths of suffixes, tried in turn until all names differ.
const SUFFIXES: [usize; 2] = [SHORT_ID, 12];

/// The characters of a short id, as mackerel-plugin-docker has it.
const SHORT_ID: usize = 6;

fn suffix(target: &Target, length: usize) -> String {
    match (&target.container, target.address()) {
        (Some(container), _) => legal(short(&container.id, length), WHOLE),
        (None, Some(address)) if length == SUFFIXES[0] => legal(&address.host, limits::INSTANCE_LENGTH),
        // Two hosts can become equal when their dots are replaced; their bytes do not.
        (None, Some(address)) => hex::encode(address.to_string()),
        (None, None) => String::new(),
    }
}

/// Makes `text` a legal component: replaces characters that Mackerel does not allow by `_`, and cuts it to `length`.
pub fn legal(text: &str, length: usize) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    text.chars().take(length).map(legal).collect()
}

/// Returns the first characters of an id.
fn short(id: &str, length: usize) -> &str {
    id.char_indices().nth(length).map_or(id, |(end, _)| &id[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::pipeline::route::Routes;
    use crate::pipeline::target::Labelled;

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
            routes: Routes::only("127.0.0.1:32768".parse().unwrap(), ""),
            container: Some(container),
            container_port: Some(8080),
            ..Target::default()
        }
    }

    fn names(format: &str, targets: &[Target]) -> (Vec<String>, Option<String>) {
        let InstanceName::Given(format) = format.parse().unwrap() else { panic!("{format} is a slot") };
        assign(&format, targets)
    }

    #[test]
    fn every_format_gives_the_name_of_mackerel_plugin_docker() {
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
    fn targets_with_equal_names_all_get_an_id_and_one_warning() {
        let all = [target("aaaaaaaa", "api", &[]), target("bbbbbbbb", "web", &[]), target("cccccccc", "api", &[])];
        let (names, warning) = names("name", &all);
        assert_eq!(names, ["api_aaaaaa", "web", "api_cccccc"]);
        assert_eq!(
            warning.unwrap(),
            "--instance-name is not unique for api (127.0.0.1:32768) and 1 more container; appended the container id"
        );
    }

    #[test]
    fn equal_id_prefixes_and_names_like_suffixed_ones_stay_unique() {
        let all = [target("aaaaaa1", "api", &[]), target("aaaaaa2", "api", &[]), target("c", "api_aaaaaa", &[])];
        let (mut names, _) = names("name", &all);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3);
    }

    #[test]
    fn a_missing_or_empty_label_gives_the_short_id() {
        let all =
            [target("aaaaaaaa", "a", &[]), target("bbbbbbbb", "b", &[("app", "")]), target("c", "c", &[("app", "x")])];
        let (names, warning) = names("label:app", &all);
        assert_eq!(names, ["aaaaaa", "bbbbbb", "x"]);
        assert!(warning.is_some());
    }

    #[test]
    fn fixed_targets_with_equal_ports_get_their_hosts() {
        let fixed = |text: &str| Target::fixed(text.parse::<Address>().unwrap());
        let all = [fixed("10.0.0.1:80"), fixed("10.0.0.2:80"), fixed("[::1]:81")];
        assert_eq!(names("port", &all).0, ["80_10_0_0_1", "80_10_0_0_2", "81"]);
        let all = [fixed("a.b:80"), fixed("a_b:80")];
        let (names, _) = names("port", &all);
        assert!(names[0] != names[1] && names.iter().all(|name| crate::definition::is_component(name)));
    }

    /// An endpoint that the labels of a container declare. A published port is that of the host.
    fn labelled(id: &str, name: Option<&str>, index: Option<u16>, port: u16, is_published: bool) -> Target {
        let mut target = target(id, id, &[]);
        target.routes = Routes::only(format!("127.0.0.1:{port}").parse().unwrap(), "");
        let binding = is_published.then(|| ([0, 0, 0, 0].into(), port));
        target.container.as_mut().unwrap().ports = vec![crate::engine::Port { container_port: 8080, binding }];
        target.labelled = Some(Labelled { index, name: name.map(str::to_owned), options: None });
        target
    }

    #[test]
    fn a_name_of_labels_comes_before_the_port_and_unpublished_ports_before_the_id() {
        let all = [
            labelled("aaaaaaaa", Some("shop_api"), None, 32768, true),
            labelled("bbbbbbbb", None, None, 32769, true),
            labelled("cccccccc", Some("shop"), None, 8080, false),
            labelled("dddddddd", None, None, 32768, false),
        ];
        let expected = ["shop-api_32768", "32769", "shop_8080_cccccc", "32768_dddddd"].map(str::to_owned).to_vec();
        assert_eq!(names("port", &all), (expected, None));
    }

    #[test]
    fn endpoints_of_one_container_with_equal_names_get_their_indices() {
        let all = [
            labelled("aaaaaaaa", None, None, 32768, true),
            labelled("aaaaaaaa", None, Some(0), 32768, true),
            labelled("aaaaaaaa", Some("x"), Some(1), 32768, true),
        ];
        assert_eq!(names("port", &all).0, ["32768", "32768_0", "x_32768"]);
        assert_eq!(names("name", &all).0, ["aaaaaaaa", "aaaaaaaa_0", "x_aaaaaaaa"]);
    }

    #[test]
    fn a_name_of_labels_gives_way_to_that_of_a_container() {
        let hostile =
            Target { container: target("b", "web", &[]).container, ..labelled("b", Some("api"), None, 1, true) };
        let all = [target("a", "api_web", &[]), hostile];
        let (names, warning) = names("name", &all);
        assert_eq!(names, ["api_web", "api_web_b00000"]);
        assert!(warning.is_some());
    }

    #[test]
    fn every_name_is_legal_for_any_container_name() {
        for name in ["", "/", "a b\n", "日本語", "..", "#", "*", "\u{1b}[2J", &"x".repeat(10_000)] {
            let (names, _) = names("name", &[target("abc", name, &[])]);
            assert!(crate::definition::is_component(&names[0]), "{name:?} {names:?}");
            assert!(names[0].len() <= limits::INSTANCE_LENGTH);
        }
    }
}
