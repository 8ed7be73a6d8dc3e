//! Go programs as processes of this machine, without containers.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::go::Program;
use crate::{http, port};

/// A Go program on a free port of this machine. Drop it to end it.
pub struct Local {
    process: Child,
    address: SocketAddr,
}

impl Local {
    /// Starts the program and waits until it listens. Reports it if there is no Go.
    ///
    /// # Panics
    ///
    /// If the program prints anything except its address.
    pub fn start(program: Program, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(program.executable()?);
        let mut process = command
            .args(["-listen", &format!("127.0.0.1:{}", port::free())])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Go program can be started");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("stdout is piped"))
            .read_line(&mut line)
            .expect("the program prints its address");
        let address =
            line.trim().parse().unwrap_or_else(|_| panic!("{program:?} {arguments:?} printed no address: {line:?}"));
        Some(Self { process, address })
    }

    /// Returns its address, as `--target` takes it.
    pub fn target(&self) -> String {
        self.address.to_string()
    }

    /// Returns the port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the number of bytes that a misbehaving server has sent.
    ///
    /// # Panics
    ///
    /// If it does not respond.
    pub fn sent(&self) -> u64 {
        http::get(self.address, "/sent").expect("a response to /sent").parse().expect("a number")
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
