//! The ECS agent on this machine, by its introspection API: the ports of tasks in the network modes `awsvpc` and
//! `host`, which the engine's list does not have.
//!
//! Follows amazon-ecs-agent: `/v1/tasks` lists all tasks of the container instance, with the mapped ports of the task
//! definition where the engine has no bindings. Ports that an image only exposes are not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use super::client::Client;
use super::container::ListedPort;
use crate::engine::{Container, Lenient, LenientList, Port};

/// The agent listens on all addresses. Its firewall accepts those of this machine.
const URL: &str = "http://127.0.0.1:51678";

/// The label with the ARN of a container's task, which only the ECS agent can set.
pub const TASK_LABEL: &str = "com.amazonaws.ecs.task-arn";

/// The label of a container with its name in the task definition, or the name that ECS gave it.
pub const NAME_LABEL: &str = "com.amazonaws.ecs.container-name";

/// The label of a container with the family of its task definition.
pub const FAMILY_LABEL: &str = "com.amazonaws.ecs.task-definition-family";

/// The containers of an instance's tasks, by id.
pub struct Instance(BTreeMap<String, Mapped>);

/// The mapped ports of a container, and the addresses of its task.
struct Mapped {
    ports: BTreeSet<u16>,
    addresses: Vec<IpAddr>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase", expecting = "the tasks of the ECS agent")]
struct Tasks {
    tasks: LenientList<Task>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Task {
    containers: LenientList<Listed>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Listed {
    docker_id: Lenient<String>,
    ports: LenientList<ListedPort>,
    networks: LenientList<ListedNetwork>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListedNetwork {
    #[serde(rename = "IPv4Addresses")]
    ipv4_addresses: LenientList<String>,
    #[serde(rename = "IPv6Addresses")]
    ipv6_addresses: LenientList<String>,
}

impl Instance {
    /// Requests the tasks of this machine's ECS agent, if one of `containers` needs them: one of ECS whose ports are
    /// not in the engine's list. Returns `None` if none does, or the agent does not respond.
    pub async fn read(containers: &[Container]) -> Option<Instance> {
        let needs = |container: &Container| {
            let has_network_of_task = container.host_network || container.network_of.is_some();
            container.labels.contains_key(TASK_LABEL) && container.ports.is_empty() && has_network_of_task
        };
        if !containers.iter().any(needs) {
            return None;
        }
        let tasks: Tasks = Client::new(URL)?.get("/v1/tasks").await.ok()?;
        let tasks = tasks.tasks.0.unwrap_or_default();
        let listed = tasks.into_iter().flat_map(|task| task.containers.0.unwrap_or_default());
        Some(Instance(listed.filter_map(Listed::mapped).collect()))
    }

    /// Adds the mapped ports of a container that has none in the engine's list. In the mode `awsvpc` they are at the
    /// address of the task's network interface.
    pub fn add_ports(&self, container: &mut Container) {
        let Some(mapped) = self.0.get(&container.id).filter(|_| container.ports.is_empty()) else { return };
        let address = match mapped.addresses.first() {
            Some(address) => *address,
            None if container.host_network => Ipv4Addr::UNSPECIFIED.into(),
            None => return,
        };
        let port = |port: &u16| Port { container_port: *port, binding: Some((address, *port)) };
        container.ports = mapped.ports.iter().map(port).collect();
    }
}

impl Listed {
    fn mapped(self) -> Option<(String, Mapped)> {
        let ports = self.ports.0.unwrap_or_default();
        let ports = ports.iter().filter(|port| port.is_tcp()).filter_map(ListedPort::number).collect();
        let networks = self.networks.0.unwrap_or_default();
        // A task in a subnet with IPv6 alone has no others.
        let addresses = networks.into_iter().flat_map(|network| [network.ipv4_addresses, network.ipv6_addresses]);
        let addresses = addresses.flat_map(|addresses| addresses.0.unwrap_or_default());
        let addresses = addresses.filter_map(|address| address.parse().ok()).collect();
        Some((self.docker_id.0?, Mapped { ports, addresses }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_without_ipv4_has_its_ports_at_its_ipv6_address() {
        for (addresses, expected) in [
            (r#""IPv4Addresses":["10.0.2.106"],"IPv6Addresses":["2001:db8::106"]"#, "10.0.2.106"),
            (r#""IPv6Addresses":["2001:db8::106"]"#, "2001:db8::106"),
            (r#""IPv4Addresses":[""],"IPv6Addresses":["2001:db8::106"]"#, "2001:db8::106"),
        ] {
            let listed = format!(
                r#"{{"DockerId":"a","Ports":[{{"ContainerPort":80,"Protocol":"tcp"}}],"Networks":[{{{addresses}}}]}}"#
            );
            let mapped = serde_json::from_str::<Listed>(&listed).unwrap().mapped().unwrap();
            let mut container = Container { id: "a".to_owned(), ..Container::default() };
            Instance([mapped].into()).add_ports(&mut container);
            let binding = Some((expected.parse().unwrap(), 80));
            assert_eq!(container.ports, [Port { container_port: 80, binding }], "{addresses}");
        }
    }
}
