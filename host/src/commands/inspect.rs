//! `inspect`: one collector in full.

use std::fmt::Write as _;

use bytesize::ByteSize;

use crate::definition::{Definitions, Prefix};
use crate::diagnostics::print;
use crate::error::Error;
use crate::job::{NoOptions, RUN};
use crate::limits;
use crate::options::Options;
use crate::pipeline::protocol;
use crate::sandbox::{MetricKind, OptionKind, OptionSpec, Period, Scope};
use crate::session::Session;
use crate::store::component::{CallError, Origin};
use crate::text::{escape, foreign};

/// Describes a collector: options, graphs with the default options, imports, size, digest and limits.
///
/// # Errors
/// If it cannot be loaded, or breaks the contract.
pub async fn inspect(session: &Session, name: &str) -> Result<String, Error> {
    let component = session.store.load(name)?;
    for warning in &component.warnings {
        print(&format!("{}: {warning}", component.name));
    }
    let description = component.describe().await?;
    let words = [name.into()];
    let uses = component.collector.uses();
    let (options, NoOptions {}) = Options::parse(&RUN, &session.reserved, &words, &description, uses)?;
    let prefix: Prefix = options.output.prefix;
    // Some collectors have no graphs without options.
    let definitions = match component.definitions(options.collector.values()).await {
        Err(CallError::Options { reason, .. }) => Err(reason),
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
    if let Origin::Installed(pin) = &component.origin {
        let signed = pin.signed.as_ref().map(|signer| format!("by {signer}"));
        let _ = writeln!(text, "signed    {}", signed.as_deref().unwrap_or("no signature was required"));
        let compiler = pin.code.as_ref().map(|code| code.compiler.as_str()).filter(|compiler| !compiler.is_empty());
        let _ = writeln!(text, "compiled  by {}", foreign(compiler.unwrap_or("an unknown version of this program")));
    }

    let _ = writeln!(text, "\noptions");
    let flags: Vec<String> = description.options.iter().map(flag).collect();
    let widest = flags.iter().map(|flag| flag.chars().count()).max().unwrap_or_default();
    for (option, flag) in description.options.iter().zip(flags) {
        let _ = writeln!(text, "  {flag:<widest$}  {}", foreign(&option.help));
    }
    let _ = writeln!(text, "\ngraphs");
    if let Err(why) = &definitions {
        let _ = writeln!(text, "  none with the default options: {why}");
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
