//! A dry run: one call of a collector of whole containers with complete stats, without an engine. It shows which of the
//! declared metrics these options can have.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use crate::definition::Definitions;
use crate::job::Job;
use crate::limits;
use crate::pipeline::output::{Of, PostedGraph};
use crate::sandbox::activity::{Activity, Waiting};
use crate::sandbox::container::Container;
use crate::sandbox::{ContainerFacts, Report, Scope, TargetFacts};
use crate::stats::complete::Complete;

/// Returns the graphs of a run that can have data, with the metrics that can. A collector of ports can have data in all
/// of its graphs: that depends on its targets.
pub async fn graphs_with_data(job: &Job) -> Vec<PostedGraph> {
    let mut graphs = job.graphs.clone();
    let has_all = job.description.scope != Scope::Container || !job.component.collector.uses().stats;
    let Some(report) = (if has_all { None } else { report(job).await }) else { return graphs };
    let names = reported(&job.definitions, &report);
    for graph in &mut graphs {
        if let Of::EachTarget(place) | Of::Total(place, _) = graph.of {
            graph.metrics.retain(|metric| names.contains(&(place, metric.name.as_str())));
        }
    }
    graphs.retain(|graph| !graph.metrics.is_empty());
    graphs
}

/// Returns the graphs' positions and the names of their metrics in a report.
fn reported<'d>(definitions: &'d Definitions, report: &Report) -> BTreeSet<(usize, &'d str)> {
    let (points, _) = definitions.points(&report.samples, 0);
    let name = |(graph, metric): (usize, usize)| {
        Some((graph, definitions.graphs().get(graph)?.metrics.get(metric)?.name.as_str()))
    };
    points.iter().filter_map(|point| name(point.order)).collect()
}

/// Calls `collect`; `None` if it fails or reports nothing, as a collector may that needs a secret.
async fn report(job: &Job) -> Option<Report> {
    let collector = &job.component.collector;
    let activity = Activity::new(Waiting::Collector);
    let text = || "dry-run".to_owned();
    let (id, name, image, image_id) = (text(), text(), text(), text());
    let container = Container {
        id: text(),
        has_interfaces: true,
        stats: Arc::new(Complete),
        source: Arc::new(OnceLock::new()),
        activity: activity.clone(),
    };
    let facts = ContainerFacts { id, name, image, image_id, labels: Vec::new(), port: None };
    let target = TargetFacts { endpoint: None, container: Some(facts) };
    let call = async {
        let sandbox = collector.sandbox(collector.admit(activity.clone()).await).await.ok()?;
        sandbox.collect(None, Some(container), activity, &target, job.options.collector.values()).await.ok()
    };
    let report = tokio::time::timeout(limits::DESCRIBE_TIMEOUT, collector.bounded(call)).await.ok()?.ok()??;
    let (report, ..) = report;
    (!report.samples.is_empty()).then_some(report)
}
