//! Connections within the network namespace of a process.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream as BlockingStream};
use std::os::fd::AsFd as _;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::process::Process;
use crate::limits;

/// Connects to `port` of 127.0.0.1 in the network namespace of `process`. Only privileged processes can.
///
/// # Errors
/// The system's error.
pub async fn connect(process: Process, port: u16) -> io::Result<TcpStream> {
    let (sender, receiver) = oneshot::channel();
    // A thread of its own, which ends in that namespace.
    thread::Builder::new().spawn(move || drop(sender.send(connect_here(process, port))))?;
    let stream = receiver.await.map_err(io::Error::other)??;
    TcpStream::from_std(stream)
}

/// Moves this thread into the namespace, and connects.
fn connect_here(process: Process, port: u16) -> io::Result<BlockingStream> {
    let namespace = File::open(format!("/proc/{}/ns/net", process.0))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = BlockingStream::connect_timeout(&address, limits::OWN_ADDRESS_CONNECT)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
