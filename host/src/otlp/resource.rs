//! Resources: the attributes of a target, by OpenTelemetry's semantic conventions
//! (<https://opentelemetry.io/docs/specs/semconv/resource/>).

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::address::Address;
use crate::ecs::{FAMILY_LABEL, TASK_LABEL};
use crate::engine::{Container, EngineHost};
use crate::limits;
use crate::pipeline::series::Series;

/// The attributes that all targets of a run have.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// The name of this machine.
    pub host_name: String,
    /// Attributes that replace others of the same name.
    pub given: BTreeMap<String, String>,
}

/// The choice of labels that become attributes.
#[derive(Debug, Clone, Default)]
pub struct LabelChoice<'a> {
    /// The keys of labels that become `container.label.KEY`.
    pub keys: &'a [String],
    /// The key of the label with the name of the service.
    pub service: Option<&'a str>,
}

/// The labels that name the service if there is no `--otlp-service-label`: the family of ECS, and the service of Docker
/// Compose.
const SERVICE_LABELS: [&str; 2] = [FAMILY_LABEL, "com.docker.compose.service"];

/// The labels of ECS that are attributes as they are.
const ECS_LABELS: [(&str, &str); 3] = [
    (TASK_LABEL, "aws.ecs.task.arn"),
    (FAMILY_LABEL, "aws.ecs.task.family"),
    ("com.amazonaws.ecs.task-definition-version", "aws.ecs.task.revision"),
];

impl Common {
    /// Returns the resource of a target. `engine` is the machine of its engine.
    pub fn of_target(&self, labels: &LabelChoice<'_>, engine: &EngineHost, series: &Series<'_>) -> Resource {
        let target = series.target;
        let mut attributes = BTreeMap::new();
        // Nothing else has the slot.
        attributes.extend(
            series.name.clone().filter(|name| !name.is_empty()).map(|name| ("instance".to_owned(), text(&name))),
        );
        match (&target.container, target.address()) {
            (Some(container), _) => {
                let host = match engine {
                    EngineHost::Local => &self.host_name,
                    EngineHost::Remote(name) => name,
                };
                attributes.insert("host.name".to_owned(), text(host));
                attributes.extend(target.container_port.map(port));
                attributes.extend(of_container(container, labels));
            }
            (None, Some(address)) => {
                if Address::is_here(&address.host) {
                    attributes.insert("host.name".to_owned(), text(&self.host_name));
                }
                attributes.insert("server.address".to_owned(), text(&address.host));
                attributes.extend([port(address.port)]);
            }
            (None, None) => {}
        }
        self.resource(attributes)
    }

    /// Returns the resource of values about all targets together.
    pub fn of_all(&self) -> Resource {
        self.resource([("host.name".to_owned(), text(&self.host_name))].into())
    }

    fn resource(&self, mut attributes: BTreeMap<String, Value>) -> Resource {
        attributes.extend(self.given.iter().map(|(key, value)| (key.clone(), text(value))));
        let attributes = attributes.into_iter().map(|(key, value)| attribute(key, value)).collect();
        Resource { attributes, ..Resource::default() }
    }
}

fn of_container(container: &Container, choice: &LabelChoice<'_>) -> BTreeMap<String, Value> {
    let Container { id, name, image, labels, .. } = container;
    let mut attributes = BTreeMap::from([
        ("container.id".to_owned(), text(id)),
        ("container.name".to_owned(), text(name)),
        ("container.image.name".to_owned(), text(without_tag(image))),
    ]);
    let label = |key: &str| labels.get(key).filter(|value| !value.is_empty());
    let of_ecs = ECS_LABELS.iter().filter_map(|(key, attribute)| Some(((*attribute).to_owned(), text(label(key)?))));
    attributes.extend(of_ecs);
    let cluster = label(TASK_LABEL).and_then(|arn| cluster_of(arn));
    attributes.extend(cluster.map(|arn| ("aws.ecs.cluster.arn".to_owned(), text(&arn))));
    let service = choice.service.map_or_else(|| SERVICE_LABELS.into_iter().find_map(label), label);
    attributes.extend(service.map(|name| ("service.name".to_owned(), text(name))));
    let chosen = choice.keys.iter().filter_map(|key| Some((format!("container.label.{key}"), text(labels.get(key)?))));
    attributes.extend(chosen);
    attributes
}

/// Makes an attribute.
pub fn attribute(key: String, value: Value) -> KeyValue {
    KeyValue { key, value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Makes the value of an attribute, and cuts a long one.
pub fn text(text: &str) -> Value {
    Value::StringValue(text.chars().take(limits::OTLP_ATTRIBUTE).collect())
}

fn port(port: u16) -> (String, Value) {
    ("server.port".to_owned(), Value::IntValue(port.into()))
}

/// Returns the name of an image without its tag and digest.
fn without_tag(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        // A colon before the last slash is that of a registry's port.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

/// Returns the ARN of the cluster in that of a task: `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`. Older ones have no
/// cluster.
fn cluster_of(task: &str) -> Option<String> {
    let (front, rest) = task.split_once(":task/")?;
    let (cluster, _) = rest.split_once('/')?;
    Some(format!("{front}:cluster/{cluster}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::target::Target;

    /// Formats the attributes of a container's target, without those that every container has.
    fn shown(labels: &[(&str, &str)], choice: &LabelChoice<'_>, given: &[(&str, &str)]) -> Vec<String> {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let container = Container {
            id: "5bde56".to_owned(),
            image: "registry:5000/team/api:1.2".to_owned(),
            labels: owned(labels),
            ..Container::default()
        };
        let target = Target { container: Some(container), ..Target::default() };
        let series =
            Series { position: 0, target: &target, name: Some("1".to_owned()), points: Vec::new(), reading: None };
        let common = Common { host_name: "web-1".to_owned(), given: owned(given) };
        let attributes = common.of_target(choice, &EngineHost::Local, &series).attributes;
        attributes
            .into_iter()
            .map(|KeyValue { key, value, .. }| match value.and_then(|value| value.value) {
                Some(Value::StringValue(value)) => format!("{key}={value}"),
                other => format!("{key}={other:?}"),
            })
            .collect()
    }

    const PLAIN: [&str; 5] = [
        "container.id=5bde56",
        "container.image.name=registry:5000/team/api",
        "container.name=",
        "host.name=web-1",
        "instance=1",
    ];

    #[test]
    fn a_container_has_the_attributes_of_its_ecs_task() {
        let labels = [
            ("com.amazonaws.ecs.task-arn", "arn:aws:ecs:eu-west-1:012345678901:task/blue/5f0e"),
            ("com.amazonaws.ecs.task-definition-family", "api"),
            ("com.amazonaws.ecs.task-definition-version", "7"),
        ];
        let mut expected = vec![
            "aws.ecs.cluster.arn=arn:aws:ecs:eu-west-1:012345678901:cluster/blue",
            "aws.ecs.task.arn=arn:aws:ecs:eu-west-1:012345678901:task/blue/5f0e",
            "aws.ecs.task.family=api",
            "aws.ecs.task.revision=7",
        ];
        expected.extend(PLAIN);
        expected.push("service.name=api");
        assert_eq!(shown(&labels, &LabelChoice::default(), &[]), expected);
    }

    #[test]
    fn a_chosen_label_names_the_service_and_one_that_is_missing_does_not() {
        let labels = [("team", "web"), ("com.docker.compose.service", "api")];
        let of = |service: Option<&str>, keys: &[String]| shown(&labels, &LabelChoice { keys, service }, &[]);
        let service = |service: Option<&str>| of(service, &[]).into_iter().find(|one| one.starts_with("service.name"));
        assert_eq!(service(None).as_deref(), Some("service.name=api"));
        assert_eq!(service(Some("team")).as_deref(), Some("service.name=web"));
        assert_eq!(service(Some("other")), None);
        assert!(of(None, &["team".to_owned(), "other".to_owned()]).contains(&"container.label.team=web".to_owned()));
    }

    #[test]
    fn a_given_attribute_replaces_one_of_the_target() {
        let given = [("host.name", "i-0123"), ("deployment.environment.name", "prod")];
        let shown = shown(&[], &LabelChoice::default(), &given);
        assert!(
            shown.contains(&"host.name=i-0123".to_owned())
                && shown.contains(&"deployment.environment.name=prod".to_owned()),
            "{shown:?}"
        );
    }

    #[test]
    fn a_tag_is_cut_off_an_image_and_the_port_of_a_registry_is_not() {
        for (image, name) in [
            ("api", "api"),
            ("api:1", "api"),
            ("r:5000/api", "r:5000/api"),
            ("r:5000/api:1@sha256:00", "r:5000/api"),
            ("sha256:00", "sha256"),
        ] {
            assert_eq!(without_tag(image), name);
        }
    }
}
