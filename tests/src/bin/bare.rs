//! The baseline of `make bench`: the same job in a minimal native program. It lists containers, or takes targets as
//! options, sends all GETs at once, reads the complete responses, and prints their size. With `--cgroup` it reads the
//! files of the listed containers' cgroups instead.
//!
//! ```text
//! bare --path /stats --filter KEY=VALUE
//! bare --path /stats --direct --filter KEY=VALUE
//! bare --path /stats --target HOST:PORT --target …
//! bare --cgroup CONTAINERS --filter KEY=VALUE
//! ```
//!
//! CONTAINERS is the path of the cgroups below the root of each tree, such as `docker/ID` or
//! `system.slice/docker-ID.scope`.
//!
//! It connects to published ports, or with `--direct` to the containers' own addresses.
//!
//! The engine is that of `DOCKER_HOST`. There is no sandbox, limit, name, rate or state.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use bollard::models::{ContainerSummary, PortSummaryTypeEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;
use bollard::{ClientVersion, Docker, errors};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut path = String::new();
    let (mut cgroup, mut is_direct) = (None, false);
    let mut filters: HashMap<String, Vec<String>> = HashMap::new();
    let mut targets = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        if option == "--direct" {
            is_direct = true;
            continue;
        }
        let value = args.next().with_context(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--path" => path = value,
            "--cgroup" => cgroup = Some(value),
            "--target" => targets.push(value.parse()?),
            "--filter" => {
                let (key, value) = value.split_once('=').context("--filter is KEY=VALUE")?;
                filters.entry(key.to_owned()).or_default().push(value.to_owned());
            }
            _ => bail!("no such option: {option}"),
        }
    }
    if let Some(folder) = cgroup {
        let containers = list(&filters).await?;
        let ids = containers.iter().filter_map(|container| container.id.as_deref());
        let files = ids.map(|id| read(&folder.replace("ID", id))).collect::<Result<Vec<_>>>()?;
        println!("{} bodies, {} bytes", files.len(), files.iter().sum::<usize>());
        return Ok(());
    }
    if targets.is_empty() {
        let endpoint = if is_direct { own_endpoint } else { published_endpoint };
        targets = list(&filters).await?.iter().filter_map(endpoint).collect();
    }
    let bodies = try_join_all(targets.into_iter().map(|target| get(target, &path))).await?;
    println!("{} bodies, {} bytes", bodies.len(), bodies.iter().map(Bytes::len).sum::<usize>());
    Ok(())
}

/// Reads the files of the default graphs of the collector docker, and returns their size.
fn read(folder: &str) -> Result<usize> {
    const V1: [&str; 4] = [
        "cpuacct/ID/cpuacct.stat",
        "memory/ID/memory.stat",
        "blkio/ID/blkio.throttle.io_serviced",
        "blkio/ID/blkio.throttle.io_service_bytes",
    ];
    const V2: [&str; 3] = ["ID/cpu.stat", "ID/memory.stat", "ID/io.stat"];
    let root = Path::new("/sys/fs/cgroup");
    let files = if root.join("cgroup.controllers").exists() { &V2[..] } else { &V1[..] };
    files.iter().map(|file| Ok(std::fs::read(root.join(file.replace("ID", folder)))?.len())).sum()
}

/// Returns all containers. Tries the API version of current engines, then that of old ones, because a negotiation
/// would need one more request in every run.
async fn list(filters: &HashMap<String, Vec<String>>) -> Result<Vec<ContainerSummary>> {
    let options = ListContainersOptionsBuilder::default().filters(filters).build();
    for minor_version in [44, 41] {
        match connect(minor_version)?.list_containers(Some(options.clone())).await {
            Err(errors::Error::DockerResponseServerError { status_code: 400, .. }) => {}
            containers => return Ok(containers?),
        }
    }
    Ok(connect(41)?.negotiate_version().await?.list_containers(Some(options)).await?)
}

fn connect(minor_version: usize) -> Result<Docker> {
    let version = ClientVersion { major_version: 1, minor_version };
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    Ok(if host.starts_with("unix:") {
        Docker::connect_with_unix(&host, 30, &version)?
    } else {
        Docker::connect_with_http(&host, 30, &version)?
    })
}

/// Returns the first published TCP port.
fn published_endpoint(container: &ContainerSummary) -> Option<SocketAddr> {
    container.ports.iter().flatten().find_map(|port| {
        let ip = match port.ip.as_deref()? {
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            ip => ip,
        };
        let address = SocketAddr::new(ip.parse().ok()?, port.public_port?);
        (port.typ == Some(PortSummaryTypeEnum::TCP)).then_some(address)
    })
}

/// Returns the first TCP port at the address in the first network.
fn own_endpoint(container: &ContainerSummary) -> Option<SocketAddr> {
    let networks = container.network_settings.as_ref()?.networks.as_ref()?;
    let ip = networks.values().find_map(|network| network.ip_address.as_ref()?.parse().ok())?;
    let port = container.ports.iter().flatten().find(|port| port.typ == Some(PortSummaryTypeEnum::TCP))?;
    Some(SocketAddr::new(ip, port.private_port))
}

async fn get(target: SocketAddr, path: &str) -> Result<Bytes> {
    let stream = TcpStream::connect(target).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", target.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    ensure!(response.status() == 200, "{target} answered {}", response.status());
    Ok(response.into_body().collect().await?.to_bytes())
}
