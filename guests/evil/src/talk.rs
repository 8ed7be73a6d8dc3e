//! What the collector does where it is told to talk: lines over TCP, as `--say` has them. No fault by itself, but a protocol that can be
//! made to fit any target.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use crate::bindings::mackerel::collector::types::{CollectError, OptionValue, Report, Sample, Target};
use crate::{Outcome, through, value};

/// Opens another connection.
const ANEW: &str = "/";
/// Waits for a line without saying one.
const LISTEN: &str = "<";

/// Sends a POST to the path behind it, by `wasi:http`. Its answer is the status.
const POST: &str = "POST:";

/// Says each line, and waits for a line in return. Those that are numbers become the metrics `one`, `two` and `total`, in their order.
/// `%` stands for the secret.
pub(crate) fn collect(target: &Target, options: &[OptionValue]) -> Outcome {
    let failed = |error: std::io::Error| CollectError::Other(format!("{:?}", error.kind()));
    let endpoint = target.endpoint.as_ref().ok_or_else(|| CollectError::Other("no endpoint".to_owned()))?;
    let address = format!("{}:{}", endpoint.host, endpoint.port);
    let secret = value(options, "secret").unwrap_or_default();
    // Who only posts opens no connection itself.
    let mut stream: Option<BufReader<TcpStream>> = None;
    let mut answers: Vec<f64> = Vec::new();
    for line in options.iter().filter(|option| option.name == "say").map(|option| option.value.as_str()) {
        if let Some(path) = line.strip_prefix(POST) {
            answers.push(through::post(&address, path).map_err(CollectError::Other)?.into());
            continue;
        }
        if line == ANEW {
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
        let mut answer = String::new();
        if stream.read_line(&mut answer).map_err(failed)? == 0 {
            return Err(CollectError::Unexpected("the connection was closed".to_owned()));
        }
        answers.extend(answer.trim().parse::<f64>());
    }
    let samples = ["one", "two", "total"].into_iter().zip(answers);
    let sample = |(metric, value): (&str, f64)| Sample { graph: "#.evil".to_owned(), metric: metric.to_owned(), value };
    Ok(Report { samples: samples.map(sample).collect(), time: None })
}
