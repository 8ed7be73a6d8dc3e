//! The budget: selects the totals and targets that are posted within `--max-metrics`.
//!
//! The rules, in this order:
//! - The numbers of targets come first, then each total as a whole. Totals are those of all targets.
//! - A target that was within the budget in the last run stays within it while its container exists. Its metrics stay
//!   reserved while it fails or is paused: otherwise another target would take its place, and keep it.
//! - The other targets follow in the order of their slots, or of their names. One with more metrics than are left is
//!   left out as a whole.
//! - A counter counts from the first run on, before it has a rate: otherwise more targets would fit into the first run
//!   than into the second.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use crate::pipeline::find::Found;
use crate::pipeline::name::InstanceName;
use crate::pipeline::output::{Output, TARGETS_METRICS};
use crate::pipeline::series::Series;
use crate::pipeline::state::Within;
use crate::pipeline::target::Target;
use crate::text::{foreign, joined, listed, plural};

/// The part of the output that is within the budget.
#[derive(Debug, Clone)]
pub struct Budget {
    /// The output, without the totals that are left out.
    pub output: Output,
    /// The targets within the budget.
    pub within: Within,
    /// The positions of the targets that are left out.
    pub left_out: HashSet<usize>,
    /// The description of everything that is left out, or `None` if nothing is.
    pub cut: Option<Cut>,
}

/// The description of everything that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The largest number of metrics.
    pub limit: usize,
    /// The number of metrics of this run without that limit.
    pub wanted: usize,
    /// The number of metrics that are reserved for targets without any in this run.
    pub reserved: usize,
    /// The totals and targets that are left out.
    pub parts: String,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut { limit, wanted, reserved, parts } = self;
        write!(f, "--max-metrics {limit} leaves out {parts}: without it there are {wanted} metrics")?;
        if *reserved > 0 {
            write!(f, ", and {reserved} are reserved for containers that fail or are paused")?;
        }
        Ok(())
    }
}

/// The metrics that are left.
struct Rest {
    left: usize,
    wanted: usize,
    reserved: usize,
}

impl Rest {
    /// Takes `count` metrics if so many are left.
    fn take(&mut self, count: usize) -> bool {
        self.wanted += count;
        let is_within = count <= self.left;
        self.left -= if is_within { count } else { 0 };
        is_within
    }

    /// Takes `count` metrics that this run does not post, if so many are left.
    fn reserve(&mut self, count: usize) -> bool {
        let is_within = count <= self.left;
        let reserved = if is_within { count } else { 0 };
        self.left -= reserved;
        self.reserved += reserved;
        is_within
    }
}

impl Budget {
    /// Decides on `series` of targets in `found`, whose counters are not rates yet. `last` are the targets within the
    /// budget of the last run.
    pub fn new(output: &Output, format: &InstanceName, series: &[Series<'_>], last: &Within, found: &Found) -> Budget {
        let mut budget = Budget { output: output.clone(), within: Within::new(), left_out: HashSet::new(), cut: None };
        let Some(limit) = output.max_metrics else { return budget };
        let mut rest = Rest { left: limit, wanted: 0, reserved: 0 };
        budget.output.targets_graph = output.targets_graph && rest.take(TARGETS_METRICS);
        let points = series.iter().flat_map(|one| output.kept(one));
        let of_total = points.map(|point| (point.order, &point.key)).collect::<BTreeSet<_>>().len();
        budget.output.totals.retain(|_| rest.take(of_total));

        let mut claims: Vec<(String, &Series<'_>)> = Vec::new();
        if output.each_target {
            claims.extend(series.iter().filter(|one| one.name.is_some()).map(|one| (one.target.identity(), one)));
        }
        let claimed: HashSet<&str> = claims.iter().map(|(identity, _)| identity.as_str()).collect();
        let existing = found.identities();
        let exists = |identity: &str| existing.contains(identity) || existing.contains(container_of(identity));
        for (identity, count) in last.iter().filter(|(identity, _)| !claimed.contains(identity.as_str())) {
            if exists(identity) && rest.reserve(*count) {
                budget.within.insert(identity.clone(), *count);
            }
        }
        claims.sort_by_key(|(identity, one)| (!last.contains_key(identity), order(format, one)));
        let targets = claims.len();
        let mut left_out = Vec::new();
        for (identity, one) in claims {
            let count = output.kept(one).count();
            if rest.take(count) {
                budget.within.insert(identity, count);
            } else {
                budget.left_out.insert(one.position);
                left_out.push(name(one.target));
            }
        }
        let mut parts = Vec::new();
        parts.extend((output.targets_graph && !budget.output.targets_graph).then(|| "--targets-graph".to_owned()));
        let totals = output.totals.iter().filter(|total| !budget.output.totals.contains(total));
        parts.extend(totals.map(|total| format!("--total {}", total.word())));
        if !left_out.is_empty() {
            parts.push(format!("{} of {} ({})", left_out.len(), plural(targets, "target"), listed(&left_out)));
        }
        let Rest { wanted, reserved, .. } = rest;
        budget.cut = (!parts.is_empty()).then(|| Cut { limit, wanted, reserved, parts: joined(&parts, ", ") });
        budget
    }

    /// Removes the names of the targets that are left out. Their values only count in totals.
    pub fn apply(&self, series: &mut [Series<'_>]) {
        for one in series.iter_mut().filter(|one| self.left_out.contains(&one.position)) {
            one.name = None;
        }
    }
}

/// Returns the id of the container in the identity of a target.
fn container_of(identity: &str) -> &str {
    identity.split(':').next().unwrap_or_default()
}

/// Orders series by their slots, the first of each group before the second of any, or by their names.
fn order<'s>(format: &InstanceName, series: &'s Series<'_>) -> (u32, &'s str) {
    let name = series.name.as_deref().unwrap_or_default();
    let (group, number) = match format {
        InstanceName::Slot(_) => name.rsplit_once('_').unwrap_or(("", name)),
        InstanceName::Given(_) => (name, ""),
    };
    (number.parse().unwrap_or_default(), group)
}

/// Returns the name of a target for messages.
fn name(target: &Target) -> String {
    match &target.container {
        Some(container) => foreign(&container.name).to_string(),
        None => target.to_string(),
    }
}
