//! Infrastructure: containers that an orchestrator starts for itself. They are not targets unless the operator includes
//! them, because they have no metrics of an application, and often the ports of one.
//!
//! The names, labels and images are those of amazon-ecs-agent, Kubernetes (cri-dockerd) and Podman.

use std::fmt;

use crate::ecs::{NAME_LABEL, TASK_LABEL};
use crate::engine::Container;

/// The kind of an orchestrator's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Infrastructure {
    /// Holds the network namespace of a task or pod.
    Pause,
    /// The agent of Amazon ECS.
    EcsAgent,
    /// The proxy of ECS Service Connect, or its relay.
    ServiceConnect,
    /// Prepares the volumes of an ECS task.
    EcsVolume,
    /// Another one that ECS adds to a task.
    Ecs,
}

impl fmt::Display for Infrastructure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Infrastructure::Pause => "pause container",
            Infrastructure::EcsAgent => "ECS agent",
            Infrastructure::ServiceConnect => "ECS Service Connect",
            Infrastructure::EcsVolume => "volume container of ECS",
            Infrastructure::Ecs => "container that ECS adds",
        })
    }
}

/// Returns the kind of an orchestrator's container, or `None` for an application's.
pub fn kind_of(container: &Container) -> Option<Infrastructure> {
    let image = image_name(&container.image);
    let label = |key: &str| container.labels.get(key).map(String::as_str).unwrap_or_default();
    let ecs_name = label(NAME_LABEL);
    if image == "ecs-service-connect-agent"
        || ecs_name.starts_with("ecs-service-connect-")
        || label(TASK_LABEL).contains("/service-connect-relay-")
    {
        return Some(Infrastructure::ServiceConnect);
    }
    if ecs_name.starts_with("~internal~ecs-emptyvolume-source") {
        return Some(Infrastructure::EcsVolume);
    }
    // A user can only name a container so outside of ECS, whose agent sets this label itself.
    if ecs_name.starts_with("~internal~ecs") {
        return Some(Infrastructure::Pause);
    }
    match image {
        "amazon-ecs-agent" => Some(Infrastructure::EcsAgent),
        "amazon-ecs-pause" | "pause" | "podman-pause" => Some(Infrastructure::Pause),
        _ if container.name.starts_with("k8s_POD_") || is_podman_infra(container) => Some(Infrastructure::Pause),
        _ => None,
    }
}

/// Returns the last component of an image's path, without tag and digest.
fn image_name(image: &str) -> &str {
    let path = image.split('@').next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split(':').next().unwrap_or_default()
}

/// Podman names a pod's own container `PODID-infra`, with the first 12 digits of the pod's id. Newer versions give it
/// no image.
fn is_podman_infra(container: &Container) -> bool {
    let id = container.name.strip_suffix("-infra");
    container.image.is_empty() && id.is_some_and(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, image: &str, labels: &[(&str, &str)]) -> Option<Infrastructure> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        kind_of(&Container { name: name.to_owned(), image: image.to_owned(), labels, ..Container::default() })
    }

    #[test]
    fn orchestrators_containers_are_known_by_label_image_and_name() {
        use Infrastructure::{EcsAgent, EcsVolume, Pause, ServiceConnect};
        let relay = "arn:::::/service-connect-relay-1";
        for (name, image, labels, expected) in [
            ("ecs-shop-3-internalecspause-7e9e", "amazon/amazon-ecs-pause:0.1.0", vec![], Pause),
            ("ecs-shop-3-x", "own/pause-copy", vec![(NAME_LABEL, "~internal~ecs~pause")], Pause),
            ("ecs-shop-3-x", "own", vec![(NAME_LABEL, "~internal~ecs~pause-api")], Pause),
            ("ecs-shop-3-x", "own", vec![(NAME_LABEL, "~internal~ecs~pause~namespace")], Pause),
            ("ecs-shop-3-x", "own", vec![(NAME_LABEL, "~internal~ecs-emptyvolume-source")], EcsVolume),
            ("ecs-agent", "amazon/amazon-ecs-agent:latest", vec![], EcsAgent),
            ("a", "public.ecr.aws/x/ecs-service-connect-agent:interface-v1", vec![], ServiceConnect),
            ("a", "own", vec![(NAME_LABEL, "ecs-service-connect-AbCd")], ServiceConnect),
            ("a", "own", vec![(TASK_LABEL, relay)], ServiceConnect),
            ("k8s_POD_api-1_default_0_0", "sha256:0123", vec![], Pause),
            ("a", "registry.k8s.io/pause:3.9", vec![], Pause),
            ("a", "602401143452.dkr.ecr.eu-west-1.amazonaws.com:443/eks/pause@sha256:0123", vec![], Pause),
            ("0123456789ab-infra", "localhost/podman-pause:4.3.1-0", vec![], Pause),
            ("0123456789ab-infra", "", vec![], Pause),
        ] {
            assert_eq!(kind(name, image, &labels), Some(expected), "{name} {image} {labels:?}");
        }
    }

    #[test]
    fn applications_with_similar_names_are_not_infrastructure() {
        for (name, image, labels) in [
            ("pause", "shop/pause-menu:1", vec![]),
            ("ecs-agent", "shop/agent", vec![]),
            ("web-infra", "", vec![]),
            ("0123456789ab-infra", "shop/infra", vec![]),
            ("api", "shop/api", vec![(NAME_LABEL, "api"), (TASK_LABEL, "arn:aws:ecs:eu-west-1:1:task/shop/0123")]),
            ("envoy", "public.ecr.aws/appmesh/aws-appmesh-envoy:v1", vec![(NAME_LABEL, "envoy")]),
            ("log_router", "amazon/aws-for-fluent-bit:stable", vec![(NAME_LABEL, "log_router")]),
        ] {
            assert_eq!(kind(name, image, &labels), None, "{name} {image} {labels:?}");
        }
    }
}
