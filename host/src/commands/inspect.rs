//! `list` and `inspect`: what a person asks of collectors.

use std::fmt::Write as _;

use bytesize::ByteSize;

use crate::definition::{Definitions, Prefix};
use crate::diagnostics::print;
use crate::error::Error;
use crate::limits;
use crate::options::Options;
use crate::pipeline::protocol;
use crate::sandbox::{Description, MetricKind, OptionKind, OptionSpec, Period, Scope};
use crate::store::pin::Pin;
use crate::store::{Origin, Store};
use crate::text::{escape, foreign};

/// All collectors, a line each: name, version, what it collects, where it comes from. One that is broken is a line that says so.
///
/// # Errors
/// Where a built-in cannot be loaded, or the folder of installed ones not be used.
pub async fn list(store: &Store) -> Result<String, Error> {
    let mut rows = Vec::new();
    for builtin in store.builtins() {
        let component = store.load(builtin.name)?;
        let Description { name, version, summary, .. } = component.describe().await?;
        rows.push(row(&name, &version, &summary, "built in"));
    }
    for name in store.installed().names()? {
        match store.installed().look(&name) {
            Ok(Some(Pin { name, version, summary, source, .. })) => rows.push(row(&name, &version, &summary, &source)),
            // It was just removed.
            Ok(None) => {}
            Err(error) => {
                let error = escape(&error.to_string());
                let why = error.strip_prefix(&format!("{name}: ")).unwrap_or(&error);
                rows.push([foreign(&name).to_string(), "broken".to_owned(), why.to_owned()]);
            }
        }
    }
    let widest = rows.iter().map(|[name, ..]| name.chars().count()).max().unwrap_or_default();
    let line = |[name, version, rest]: &[String; 3]| format!("{name:<widest$} {version:<9} {rest}\n");
    Ok(rows.iter().map(line).collect())
}

fn row(name: &str, version: &str, summary: &str, origin: &str) -> [String; 3] {
    [foreign(name).to_string(), foreign(version).to_string(), format!("{} ({})", foreign(summary), foreign(origin))]
}

/// One collector in full: description, options, graphs with the default options or why there are none, imports, size and digest.
///
/// # Errors
/// Where it cannot be loaded, or breaks its contract.
pub async fn inspect(store: &Store, name: &str) -> Result<String, Error> {
    let component = store.load(name)?;
    for warning in &component.warnings {
        print(&format!("{}: {warning}", component.name));
    }
    let description = component.describe().await?;
    let words = [name.into()];
    let options = Options::parse(&words, &description, component.collector.asks_of_containers())?;
    let prefix: Prefix = options.output.prefix;
    // Some have no graphs before the operator has chosen.
    let definitions = match component.definitions(&options.collector).await {
        Err(Error::Usage(why)) => Err(why),
        other => Ok(other?),
    };

    let mut text = String::new();
    let scope = match description.scope {
        Scope::Endpoint => "endpoint (a container's port)",
        Scope::Container => "container",
    };
    let origin = match &component.origin {
        Origin::Builtin => "built in".to_owned(),
        Origin::Installed(pin) => format!("installed from {}", foreign(&pin.source)),
        Origin::File(_) => "file".to_owned(),
    };
    let _ = writeln!(text, "name      {}", foreign(&description.name));
    let _ = writeln!(text, "version   {}", foreign(&description.version));
    let _ = writeln!(text, "collects  {}", foreign(&description.summary));
    let _ = writeln!(text, "target    {scope}");
    let _ = writeln!(text, "origin    {origin}, {}", ByteSize::b(component.size).display().iec());
    let _ = writeln!(text, "digest    sha256:{}", component.digest);

    let _ = writeln!(text, "\noptions");
    let flags: Vec<String> = description.options.iter().map(flag).collect();
    let widest = flags.iter().map(|flag| flag.chars().count()).max().unwrap_or_default();
    for (option, flag) in description.options.iter().zip(flags) {
        let _ = writeln!(text, "  {flag:<widest$}  {}", foreign(&option.help));
    }
    let _ = writeln!(text, "\ngraphs");
    if let Err(why) = &definitions {
        let _ = writeln!(text, "  none with the default options: {}", escape(&why.to_string()));
    }
    for graph in definitions.iter().flat_map(Definitions::graphs) {
        let (key, label) = Definitions::title(graph, &prefix);
        let _ = writeln!(text, "  {key}  \"{}\", {}", foreign(&label), protocol::unit(graph.unit));
        for metric in &graph.metrics {
            let kind = match metric.kind {
                MetricKind::Gauge => "gauge",
                MetricKind::Counter(Period::Second) => "counter, per second",
                MetricKind::Counter(Period::Minute) => "counter, per minute",
            };
            let _ = writeln!(text, "    {:<24}{kind}", metric.name);
        }
    }
    let _ = writeln!(text, "\nimports");
    for import in component.collector.imports() {
        let _ = writeln!(text, "  {}", escape(import));
    }
    let _ = writeln!(text, "\nlimits");
    for (what, value, option) in limits::of_collectors() {
        let _ = writeln!(text, "  {}", format!("{what:<40}{value:<10}{option}").trim_end());
    }
    Ok(text)
}

fn flag(option: &OptionSpec) -> String {
    let default = option.default.as_deref().map(|default| format!("={}", foreign(default))).unwrap_or_default();
    match option.kind {
        OptionKind::Flag => format!("--{}", option.name),
        OptionKind::Secret => format!("--{}-file", option.name),
        OptionKind::Text | OptionKind::Choice(_) | OptionKind::Many => format!("--{}{default}", option.name),
    }
}
