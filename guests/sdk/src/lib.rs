//! For collectors in Rust: the contract with mackerel-plugin-wasm, and what nearly every collector needs.
//!
//! A collector is a type that implements [`Collector`], and one line that exports it. This is a whole one:
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
//!         let answer = json::read(&http::get("/queue.json")?, "a queue's JSON object")?;
//!         Report::of_table(Self::GRAPHS, |metric| answer.number(metric.name))
//!     }
//! }
//!
//! mackerel_collector::export!(Queue);
//! ```
//!
//! It is built as a `cdylib` for `wasm32-wasip2`. Natively, for unit tests, the last line exports nothing, and what asks the host
//! panics: keep the reading of an answer in a function of its own, from bytes to a [`Report`].

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

#[doc(hidden)]
pub use bindings::{__export, exports::mackerel::collector::metrics::Guest};

pub use bindings::mackerel::collector::container;
pub use bindings::mackerel::collector::types::{
    CollectError, Container, Description, Endpoint, Graph, Metric, MetricKind, OptionValue, Period, Report, Sample,
    Scope, Target, Unit,
};
pub use options::{OptionSpec, Options};
pub use table::{GraphRow, MetricRow};

/// A collector. Only a name, a summary, graphs and `collect` have to be written.
///
/// There is no `self`: every call is made on a fresh instance, and nothing is there at the next.
pub trait Collector {
    /// Its name, in the characters `a-z`, `0-9` and `-`: the first word of every metric that it posts.
    const NAME: &str;

    /// What it collects, in one line.
    const SUMMARY: &str;

    /// What one target is. By default a port of a container, or an address that the operator gave.
    const SCOPE: Scope = Scope::Endpoint;

    /// The options that it takes. By default none.
    const OPTIONS: &[OptionSpec] = &[];

    /// Its graphs, where they are the same whatever the options are.
    const GRAPHS: &[GraphRow] = &[];

    /// The graphs that these options give: [`Self::GRAPHS`] unless this is written too. No target is there, and the same options give
    /// the same graphs.
    ///
    /// # Errors
    /// For options that cannot be read or make no sense together. The text is shown behind the collector's name, so it should name the
    /// option and its value. It ends the run before any target is asked.
    fn graphs(_options: &Options) -> Result<Vec<Graph>, String> {
        Ok(Self::GRAPHS.iter().map(Graph::from).collect())
    }

    /// Reads one target.
    ///
    /// # Errors
    /// Why there is nothing to report. It costs this target's metrics and no other's.
    fn collect(target: &Target, options: &Options) -> Result<Report, CollectError>;
}

/// Makes a [`Collector`] what the component exports. Natively it exports nothing.
///
/// The component's version is that of the crate in which this stands.
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

            // Its symbols are no names for a native linker.
            #[cfg(target_arch = "wasm32")]
            $crate::__export!(Exported);
        };
    };
}

/// What the host asks first.
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
