//! The Go programs, run beside the scenario without containers.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::go::Program;
use crate::{http, port};

/// A Go program on a free port of this machine. Ends with its owner.
pub struct Local {
    process: Child,
    address: SocketAddr,
}

impl Local {
    /// Starts the program and waits until it listens. `None` where there is no Go.
    ///
    /// # Panics
    ///
    /// When the program says anything but its address.
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
            .expect("it tells its address");
        let address =
            line.trim().parse().unwrap_or_else(|_| panic!("{program:?} {arguments:?} told no address: {line:?}"));
        Some(Self { process, address })
    }

    /// Its address, as `--target` takes it.
    pub fn target(&self) -> String {
        self.address.to_string()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many bytes a misbehaving server has sent.
    ///
    /// # Panics
    ///
    /// When it does not tell.
    pub fn sent(&self) -> u64 {
        http::get(self.address, "/sent").expect("/sent is answered").parse().expect("a number")
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
