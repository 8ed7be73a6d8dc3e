//! A hostile and broken collector: one function per fault that the host must survive, chosen by `--attack`.
//!
//! A fault that shows in what the guest sees is handed on as the text of an error, so that the test beside it reads it.

mod bindings {
    //! The contract, as `wit/` has it.
    #![allow(missing_docs, unsafe_code, clippy::pedantic)]
    #[cfg(target_arch = "wasm32")]
    use super::Evil;
    wit_bindgen::generate!({ path: "../../wit", world: "plugin" });
    // Its symbols are no names for a native linker; natively only the unit tests are built.
    #[cfg(target_arch = "wasm32")]
    export!(Evil);
}

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use bindings::exports::mackerel::collector::metrics::Guest;
use bindings::mackerel::collector::container::{self, Parts};
use bindings::mackerel::collector::http::{self, Request, Scheme};
use bindings::mackerel::collector::types::{
    CollectError, Description, Graph, Metric, MetricKind, OptionKind, OptionSpec, OptionValue, Report, Sample, Scope,
    Target, Unit,
};

include!("attacks.rs");

/// What an attack gives, if it gives anything.
type Outcome = Result<Report, CollectError>;

macro_rules! table {
    ($($name:ident)*) => {
        const ATTACKS: &[(&str, fn() -> Outcome)] = &[$((stringify!($name), $name)),*];
    };
}
with_all_attacks!(table);

/// The collector.
pub struct Evil;

impl Guest for Evil {
    fn describe() -> Description {
        let names = ATTACKS.iter().map(|(name, _)| (*name).to_owned()).collect();
        Description {
            name: "evil".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Faults that the host must survive".to_owned(),
            scope: Scope::Endpoint,
            options: vec![OptionSpec {
                name: "attack".to_owned(),
                help: "Which fault".to_owned(),
                kind: OptionKind::Choice(names),
                default: None,
            }],
        }
    }

    fn graphs(_options: Vec<OptionValue>) -> Result<Vec<Graph>, String> {
        let metric = |name: &str| Metric {
            name: name.to_owned(),
            label: name.to_owned(),
            stacked: false,
            kind: MetricKind::Gauge,
        };
        Ok(vec![Graph {
            key: "#.evil".to_owned(),
            label: "Evil".to_owned(),
            unit: Unit::Float,
            metrics: vec![metric("one"), metric("two")],
        }])
    }

    fn collect(_target: Target, options: Vec<OptionValue>) -> Outcome {
        let chosen = options.first().map(|option| option.value.as_str());
        match ATTACKS.iter().find(|(name, _)| Some(*name) == chosen) {
            Some((_, attack)) => attack(),
            None => saw("no attack chosen"),
        }
    }
}

fn saw(text: impl Into<String>) -> Outcome {
    Err(CollectError::Other(text.into()))
}

#[allow(clippy::unnecessary_wraps)] // what every attack gives
fn report(samples: &[(&str, &str, f64)]) -> Outcome {
    let sample = |&(graph, metric, value): &(&str, &str, f64)| Sample {
        graph: graph.to_owned(),
        metric: metric.to_owned(),
        value,
    };
    Ok(Report { samples: samples.iter().map(sample).collect(), time: None })
}

fn spin() -> Outcome {
    loop {
        black_box(0);
    }
}

fn sleep() -> Outcome {
    loop {
        std::thread::sleep(Duration::from_hours(1));
    }
}

fn memory_at_once() -> Outcome {
    let all = vec![1_u8; 1 << 30];
    saw(format!("got {} bytes", black_box(all).len()))
}

fn memory_bit_by_bit() -> Outcome {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1_u8; 1 << 16]));
    }
}

fn deep_recursion() -> Outcome {
    fn deeper(n: u64) -> u64 {
        let frame = black_box([n; 64]);
        if frame[0] == u64::MAX { 0 } else { black_box(deeper(n + 1)) + frame[1] }
    }
    saw(format!("came back with {}", deeper(0)))
}

fn panic_with_text() -> Outcome {
    panic!("the collector does not know what to do");
}

fn stderr_flood() -> Outcome {
    for n in 0..100_000 {
        eprintln!("line {n} of a flood");
    }
    report(&[("#.evil", "one", 1.0)])
}

fn stderr_escapes() -> Outcome {
    eprintln!("\u{1b}[2J\u{1b}]0;title\u{7}mackerel-plugin-wasm: a false message");
    report(&[("#.evil", "one", 1.0)])
}

fn undeclared_samples() -> Outcome {
    report(&[
        ("#.evil", "one", 1.0),
        ("#.evil", "three", 3.0),
        ("#.good", "one", 1.0),
        ("#.evil", "two\t9\t9\nother.key", 2.0),
        ("", "", 0.0),
    ])
}

fn values_that_are_no_numbers() -> Outcome {
    report(&[("#.evil", "one", f64::NAN), ("#.evil", "two", f64::INFINITY), ("#.evil", "two", 2.0)])
}

fn the_same_sample_twice() -> Outcome {
    report(&[("#.evil", "one", 1.0), ("#.evil", "one", 2.0)])
}

fn too_many_samples() -> Outcome {
    report(&vec![("#.evil", "one", 1.0); 20_000])
}

fn get(path: &str, headers: &[(&str, &str)]) -> String {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    match http::get(&Request { scheme: Scheme::Http, path: path.to_owned(), headers }) {
        Ok(response) => format!("answered {}", response.status),
        Err(http::Error::InvalidRequest(_)) => "refused".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

fn paths_that_try_to_escape() -> Outcome {
    let mut answers = String::new();
    for path in [
        "http://127.0.0.1:1/",
        "//127.0.0.1:1/",
        "@127.0.0.1:1/",
        "127.0.0.1:1",
        "",
        "*",
        "/a b",
        "/\r\nhost: other\r\n\r\n",
        "/#fragment",
    ] {
        let _ = write!(answers, "{path:?} {}; ", get(path, &[]));
    }
    saw(answers)
}

fn headers_that_are_the_hosts() -> Outcome {
    let mut answers = String::new();
    for (name, value) in [
        ("host", "other"),
        ("Content-Length", "10"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("x y", "z"),
        ("x", "a\r\nb: c"),
        ("accept", "application/json"),
    ] {
        let _ = write!(answers, "{name} {}; ", get("/", &[(name, value)]));
    }
    saw(answers)
}

fn a_container_where_there_is_none() -> Outcome {
    if container::state().is_ok() {
        return saw("a container's state");
    }
    let stats = container::stats(Parts::all()).map_err(CollectError::Container)?;
    saw(format!("{stats:?}"))
}

fn sockets() -> Outcome {
    let kind = |error: std::io::Error| format!("{:?}", error.kind());
    let tcp = |address: &str| TcpStream::connect(address).map_or_else(kind, |_| "connected".to_owned());
    saw(format!(
        "tcp {}, {}; name {}; listen {}; udp {}",
        tcp("127.0.0.1:1"),
        tcp("[::1]:1"),
        tcp("localhost:1"),
        TcpListener::bind("127.0.0.1:0").map_or_else(kind, |_| "listening".to_owned()),
        UdpSocket::bind("127.0.0.1:0").map_or_else(kind, |_| "bound".to_owned()),
    ))
}

fn environment_and_files() -> Outcome {
    let folder = std::fs::read_dir("/").map_or_else(|_| "no folder".to_owned(), |_| "a folder".to_owned());
    let write = std::fs::write("/tmp/evil", "x").map_or_else(|_| "no file".to_owned(), |()| "a file".to_owned());
    saw(format!("{} variables, {} arguments, {folder}, {write}", std::env::vars().count(), std::env::args().count()))
}

fn escapes_in_the_error() -> Outcome {
    saw("\u{1b}[2J\r\nmackerel-plugin-wasm: \u{202e}a false message")
}
