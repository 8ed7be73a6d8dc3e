//! Options that match nothing. A misspelt name would otherwise mean silence, every minute.

use std::collections::BTreeSet;

use crate::engine::{Container, Lifecycle, as_typed};
use crate::pipeline::find::{Discovery, Found, Skipped, Source};
use crate::pipeline::labelled::Faulty;
use crate::pipeline::name::{self, Format, InstanceName};
use crate::pipeline::skip_reason::SkipReason;
use crate::pipeline::task::without_match;
use crate::text::{foreign, listed, plural, ranges};

/// Returns the lines about the list of containers, which all collectors of a run share: the filters that match nothing,
/// a docker context that is not followed, and an own container that is unknown. `found` are the containers by
/// collector, and `faulty` those with faults in their labels.
///
/// A run sends further requests only if nothing is listed, and warns only about a name that exists nowhere. With
/// `is_thorough`, for people, each of several filters is checked.
pub async fn of_list(discovery: &Discovery, found: &[&Found], faulty: &[Faulty], is_thorough: bool) -> Vec<String> {
    let Some(source) = found.first().map(|found| &*found.source) else { return Vec::new() };
    let of_labels = faulty.iter().map(|faulty| &faulty.container);
    let containers: Vec<&Container> = found.iter().flat_map(|found| found.containers()).chain(of_labels).collect();
    let is_empty = containers.is_empty() && found.iter().all(|found| found.unreadable.count == 0);
    let mut warnings = Vec::new();
    let filters = &discovery.filters;
    let checks_filters = is_empty || is_thorough && filters.len() > 1;
    let without = match source {
        Source::Fixed => return Vec::new(),
        Source::Engine(engine) => {
            if is_empty || is_thorough {
                warnings.extend(engine.ignored_context().map(|context| context.to_string()));
            }
            // A second failure of the engine does not matter: this is a hint.
            if checks_filters { engine.without_match(filters).await.unwrap_or_default() } else { Vec::new() }
        }
        Source::EcsTask(of) => {
            if let Some(reason) = &of.task.own_unknown {
                warnings.push(format!(
                    "cannot identify this plugin's own container: {reason}; to leave it out: --skip name=NAME"
                ));
            }
            let in_task: Vec<&Container> = containers.into_iter().chain(of.unlisted.iter().map(|of| &of.0)).collect();
            if checks_filters { without_match(filters, &in_task) } else { Vec::new() }
        }
    };
    if !without.is_empty() {
        warnings.push(format!("no container matches {}", as_typed(without)));
    }
    warnings
}

/// Returns one line for each option that matches no container of one collector. With `is_thorough`, for people, a lack
/// of targets is explained.
pub fn of_collector(
    discovery: &Discovery,
    instance_name: &InstanceName,
    found: &Found,
    is_thorough: bool,
) -> Vec<String> {
    without_target(discovery, found, is_thorough).into_iter().chain(without_label(instance_name, found)).collect()
}

/// Explains why none of the running containers is a target.
fn without_target(discovery: &Discovery, found: &Found, is_thorough: bool) -> Option<String> {
    let has_failures = found.unreadable.count > 0 || found.skipped.iter().any(|skipped| skipped.reason.is_failure());
    if !found.targets.is_empty() || has_failures && discovery.container_port.is_none() {
        return None;
    }
    let is_running = |skipped: &&Skipped| {
        skipped.container.lifecycle == Lifecycle::Running && skipped.reason != SkipReason::OwnContainer
    };
    let running: Vec<&Skipped> = found.skipped.iter().filter(is_running).collect();
    let first = running.first()?;
    if let Some(port) = discovery.container_port
        && running.iter().all(|skipped| matches!(skipped.reason, SkipReason::NoPort(_)))
    {
        let ports = running.iter().flat_map(|skipped| &skipped.container.ports).map(|port| port.container_port);
        let ports: Vec<u16> = ports.collect::<BTreeSet<_>>().into_iter().collect();
        return Some(format!("no container has TCP port {port} (--container-port); available: {}", ranges(&ports)));
    }
    // A failure has a line of its own.
    (is_thorough && !has_failures).then(|| {
        let containers = plural(running.len(), "running container");
        let name = foreign(&first.container.name);
        format!("no target in {containers}, such as {name}: {}", first.reason)
    })
}

/// Returns a line if no target has the label that names it.
fn without_label(instance_name: &InstanceName, found: &Found) -> Option<String> {
    let (format, key) = match instance_name {
        InstanceName::Given(Format::Label(key)) => ("label", key),
        InstanceName::Slot(Some(key)) => ("slot:label", key),
        _ => return None,
    };
    let containers: Vec<&Container> = found.targets.iter().filter_map(|target| target.container.as_ref()).collect();
    let has_label = |container: &&Container| name::label(container, key).is_some_and(|value| !value.is_empty());
    if containers.is_empty() || containers.iter().any(has_label) {
        return None;
    }
    let labels: BTreeSet<&String> = containers.iter().flat_map(|container| container.labels.keys()).collect();
    let labels: Vec<String> = labels.into_iter().map(|label| foreign(label).to_string()).collect();
    let key = foreign(key);
    Some(format!("no container has the label '{key}' (--instance-name {format}:{key}); available: {}", listed(&labels)))
}
