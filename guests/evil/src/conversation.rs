//! A collector that sends the lines of `--say` over TCP. Not an attack, but a protocol that tests can adapt to any
//! target.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use crate::bindings::mackerel::collector::types::{CollectError, OptionValue, Report, Sample, Target};
use crate::{Outcome, value, wasi_http};

/// Closes the connection. The next line opens another.
const RECONNECT: &str = "/";
/// Waits for a line without sending one.
const LISTEN: &str = "<";

/// Sends a POST to the path after the colon, through `wasi:http`. The status counts as the response line.
const POST: &str = "POST:";

/// Sends each line and waits for a response line. Numbers in the responses become the metrics `one`, `two` and `total`,
/// in order. `%` is replaced by the secret.
pub(crate) fn collect(target: &Target, options: &[OptionValue]) -> Outcome {
    let failed = |error: std::io::Error| CollectError::Other(format!("{:?}", error.kind()));
    let endpoint = target.endpoint.as_ref().ok_or_else(|| CollectError::Other("no endpoint".to_owned()))?;
    let address = format!("{}:{}", endpoint.host, endpoint.port);
    let secret = value(options, "secret").unwrap_or_default();
    // A script with only POSTs needs no connection of its own.
    let mut stream: Option<BufReader<TcpStream>> = None;
    let mut numbers: Vec<f64> = Vec::new();
    for line in options.iter().filter(|option| option.name == "say").map(|option| option.value.as_str()) {
        if let Some(path) = line.strip_prefix(POST) {
            numbers.push(wasi_http::post(&address, path).map_err(CollectError::Other)?.into());
            continue;
        }
        if line == RECONNECT {
            stream = None;
            continue;
        }
        let stream = match &mut stream {
            Some(stream) => stream,
            None => stream.insert(TcpStream::connect(&address).map(BufReader::new).map_err(failed)?),
        };
        if line != LISTEN {
            let line = line.replace('%', secret);
            stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).map_err(failed)?;
        }
        let mut response = String::new();
        if stream.read_line(&mut response).map_err(failed)? == 0 {
            return Err(CollectError::Unexpected("the connection was closed".to_owned()));
        }
        numbers.extend(response.trim().parse::<f64>());
    }
    let samples = ["one", "two", "total"].into_iter().zip(numbers);
    let sample = |(metric, value): (&str, f64)| Sample { graph: "#.evil".to_owned(), metric: metric.to_owned(), value };
    Ok(Report { samples: samples.map(sample).collect(), time: None })
}
