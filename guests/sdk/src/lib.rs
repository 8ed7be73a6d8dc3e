//! The SDK for collectors of mackerel-plugin-wasm in Rust.
//!
//! A collector is a type that implements [`Collector`], and one line that exports it. A complete collector:
//!
//! ```
//! use mackerel_collector::{CollectError, Collector, GraphRow, MetricRow, Options, Report, Target, Unit, http, json};
//!
//! struct Queue;
//!
//! impl Collector for Queue {
//!     const NAME: &str = "queue";
//!     const SUMMARY: &str = "Jobs of a queue";
//!     const GRAPHS: &[GraphRow] = &[GraphRow::new(
//!         "#.jobs",
//!         "Jobs",
//!         Unit::Integer,
//!         &[MetricRow::gauge("waiting", "Waiting"), MetricRow::per_minute("done", "Done")],
//!     )];
//!
//!     fn collect(_target: &Target, _options: &Options) -> Result<Report, CollectError> {
//!         let queue = json::read(&http::get("/queue.json")?, "a queue's JSON object")?;
//!         Report::of_table(Self::GRAPHS, |metric| queue.number(metric.name))
//!     }
//! }
//!
//! mackerel_collector::export!(Queue);
//! ```
//!
//! Build it as a `cdylib` for `wasm32-wasip2`. In native builds, such as unit tests, the last line exports nothing and
//! every request panics: parse the response in a function of its own, from bytes to a [`Report`], and test that
//! function.

#[doc(hidden)]
pub mod bindings;
mod error;
pub mod http;
pub mod json;
mod options;
pub mod prometheus;
mod report;
mod table;
mod target;
mod tls;

#[doc(hidden)]
pub use bindings::{__export, exports::mackerel::collector::metrics::Guest};

pub use bindings::mackerel::collector::types::{
    CollectError, Container, Description, Endpoint, Graph, Metric, MetricKind, OptionValue, Period, Report, Sample,
    Scope, Target, Unit,
};
pub use bindings::mackerel::collector::{container, notes};
pub use options::{OptionSpec, Options};
pub use table::{GraphRow, MetricRow};
pub use tls::{TlsError, TlsStream};

/// A collector. Most define only `NAME`, `SUMMARY`, `GRAPHS` and `collect`; all else has a default.
///
/// There is no `self`: the host makes every call in a fresh instance, so a collector cannot keep state.
pub trait Collector {
    /// The collector's name, in the characters `a-z`, `0-9` and `-`. By default the first component of every metric
    /// name.
    const NAME: &str;

    /// A summary of the metrics, in one line. Shown by `list` and in help texts.
    const SUMMARY: &str;

    /// The kind of target. The default is a port of a container, or an address given with `--target`.
    const SCOPE: Scope = Scope::Endpoint;

    /// The options that the collector takes, in the order shown in help texts. None by default.
    const OPTIONS: &[OptionSpec] = &[];

    /// The graphs, if they do not depend on the options.
    const GRAPHS: &[GraphRow] = &[];

    /// Returns the graphs for these options. The default returns [`Self::GRAPHS`].
    ///
    /// Must be pure and return the same graphs for the same options. There is no target, and all requests fail.
    ///
    /// # Errors
    /// If the options do not fit together or an option's text is malformed. The error text names the option and its
    /// value in one line. It ends the run as a usage error, before the host calls `collect`.
    fn graphs(_options: &Options) -> Result<Vec<Graph>, String> {
        Ok(Self::GRAPHS.iter().map(Graph::from).collect())
    }

    /// Reads one target. May take as long as the operator's `--timeout`, 5 s by default.
    ///
    /// # Errors
    /// If the target cannot be read. The operator reads the error on one line, and the other targets keep their
    /// metrics.
    fn collect(target: &Target, options: &Options) -> Result<Report, CollectError>;
}

/// Exports a [`Collector`] from the component. In native builds it exports nothing.
///
/// The collector's version is the version of the crate that uses the macro.
#[macro_export]
macro_rules! export {
    ($collector:ty) => {
        #[allow(missing_docs, unsafe_code, clippy::pedantic)]
        const _: () = {
            struct Exported;

            impl $crate::Guest for Exported {
                fn describe() -> $crate::Description {
                    $crate::describe::<$collector>(env!("CARGO_PKG_VERSION"))
                }

                fn graphs(options: Vec<$crate::OptionValue>) -> Result<Vec<$crate::Graph>, String> {
                    <$collector as $crate::Collector>::graphs(&$crate::Options::given::<$collector>(options))
                }

                fn collect(
                    target: $crate::Target,
                    options: Vec<$crate::OptionValue>,
                ) -> Result<$crate::Report, $crate::CollectError> {
                    <$collector as $crate::Collector>::collect(&target, &$crate::Options::given::<$collector>(options))
                }
            }

            // A native linker rejects the names of the exported symbols.
            #[cfg(target_arch = "wasm32")]
            $crate::__export!(Exported);

            // A native build has no exports, so without a use the compiler would call the collector dead code.
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn($crate::Target, Vec<$crate::OptionValue>) -> Result<$crate::Report, $crate::CollectError> =
                <Exported as $crate::Guest>::collect;
        };
    };
}

/// Returns the collector's description.
#[doc(hidden)]
pub fn describe<C: Collector>(version: &str) -> Description {
    Description {
        name: C::NAME.to_owned(),
        version: version.to_owned(),
        summary: C::SUMMARY.to_owned(),
        scope: C::SCOPE,
        options: C::OPTIONS.iter().map(OptionSpec::declare).collect(),
    }
}
