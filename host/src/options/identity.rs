//! The identity of a command line: the key of its state.

use super::Options;
use super::http::HttpOptions;
use crate::pipeline::collect::Settings;
use crate::pipeline::find::Discovery;
use crate::pipeline::identity::Identity;
use crate::pipeline::name::InstanceName;
use crate::pipeline::output::Output;
use crate::pipeline::select::Selection;
use crate::pipeline::source::SourceKind;

impl Options {
    /// Returns the key of the state file: every option that changes targets or values, so that two plugin commands
    /// never share counters. Secrets are left out. `component` is the collector's name or file unless it is built in.
    pub fn identity(&self, collector: &str, component: Option<&str>) -> Identity {
        // Exhaustive, so that a new option is either part of the key or left out on purpose.
        let Options {
            discovery:
                Discovery {
                    source,
                    fixed,
                    filters,
                    task_filters: _,
                    skips,
                    include_infrastructure,
                    container_port,
                    engine,
                    addresses: _,
                    labels,
                },
            settings: Settings { timeout: _, stats_source: _, tls_server_name: _, http: _ },
            // With another budget, slots and counters go on.
            output:
                Output {
                    prefix,
                    selection: Selection { select, exclude },
                    totals,
                    each_target,
                    targets_graph: _,
                    has_names: _,
                    max_metrics: _,
                },
            instance_name,
            bounds: _,
            deadline: _,
            verbose: _,
            http: HttpOptions { settings: _, files: _, identity: http, secrets_in_arguments: _ },
            // The same values, sent to another place.
            otlp: _,
            collector: options,
            typed: _,
        } = self;
        let mut targets = Vec::new();
        targets.extend(filters.iter().map(|(key, value)| format!("filter={key}={value}")));
        targets.extend(skips.iter().map(|skip| format!("skip={skip}")));
        targets.extend(include_infrastructure.then(|| "include-infrastructure".to_owned()));
        targets.extend(container_port.map(|port| format!("container-port={port}")));
        targets.extend(fixed.iter().map(|target| format!("target={target}")));
        targets.extend((source.kind == SourceKind::EcsTask).then(|| "source=ecs-task".to_owned()));
        targets.extend(engine.iter().map(|url| format!("docker-host={url}")));
        targets.extend(labels.iter().map(|prefix| format!("labels={prefix}")));
        // Other formats name the same series anew; slots are kept in the state itself.
        if let InstanceName::Slot(label) = instance_name {
            targets.push(format!("slot={}", label.as_deref().unwrap_or_default()));
        }
        let mut output = Vec::new();
        output.extend(select.iter().map(|pattern| format!("select={pattern}")));
        output.extend(exclude.iter().map(|pattern| format!("exclude={pattern}")));
        output.extend(totals.iter().map(|total| format!("total={}", total.word())));
        output.extend((!each_target).then(|| "total-only".to_owned()));
        let mut readings = http.clone();
        readings.extend(options.public().map(|option| format!("option={}={}", option.name, option.value)));
        Identity {
            collector: collector.to_owned(),
            prefix: prefix.to_string(),
            component: component.map(str::to_owned),
            posts_metrics: true,
            targets,
            readings,
            output,
        }
    }
}
