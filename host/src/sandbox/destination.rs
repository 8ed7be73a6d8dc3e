//! The destination: the one place that a sandbox reaches over the network, by `http`, `wasi:http` or `wasi:sockets`.
//!
//! | request | result |
//! |---|---|
//! | one of the target's addresses, with the target's port | connects |
//! | the target's name as it was configured, with the target's port | connects to its addresses |
//! | any other address, name or port | [`Denied`](super::denied::Denied) |
//!
//! The addresses are looked up before the guest runs, and never again: no name of the guest's choice reaches a name
//! server, and a name that changes its meaning a moment later has no effect.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::activity::{Activity, Waiting};
use super::http_settings::HttpSettings;
use super::remark::LastRemark;
use crate::address::Address;
use crate::kernel::namespace;
use crate::kernel::process::Process;
use crate::mutex::lock;

/// The target of a sandbox's connections, decided before the guest runs.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The address that the guest gets: an IP address or the configured name, and the port.
    pub address: Address,
    /// The address in the `Host` header: the published one, even if the container is reached at its own.
    pub authority: Address,
    /// The addresses that it was looked up to.
    pub addresses: Vec<SocketAddr>,
    /// The server name in the target's certificate.
    pub server_name: ServerName<'static>,
    /// A connection that was made before the guest runs. The first request takes it.
    pub connection: Arc<Mutex<Option<TcpStream>>>,
    /// A process in whose network namespace the address is, if it is not this one's.
    pub namespace: Option<Process>,
    /// Set while a connection is made.
    pub activity: Activity,
    /// The operator's settings for requests.
    pub http: Arc<HttpSettings>,
    /// The remark on the last exchange.
    pub remark: LastRemark,
}

impl Destination {
    /// Returns true if `address` belongs to the target.
    pub fn is_at(&self, address: SocketAddr) -> bool {
        self.addresses.iter().any(|own| (own.ip(), own.port()) == (address.ip().to_canonical(), address.port()))
    }

    /// Returns the known addresses of `host`: the target's for its name, an address for itself, `None` for any other
    /// name.
    pub fn lookup(&self, host: &str) -> Option<Vec<IpAddr>> {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Some(vec![address]);
        }
        host.eq_ignore_ascii_case(&self.address.host).then(|| self.addresses.iter().map(SocketAddr::ip).collect())
    }

    /// Returns the connection that was made before, or connects to the first address of the target that accepts.
    ///
    /// # Errors
    /// The system's error for the last address.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        self.activity.set(Waiting::Connection);
        let made_before = lock(&self.connection).take();
        if let Some(connection) = made_before {
            return Ok(connection);
        }
        if let Some(process) = self.namespace {
            return namespace::connect(process, self.address.port).await;
        }
        TcpStream::connect(self.addresses.as_slice()).await
    }

    /// Shakes hands over `stream`, and checks the target's certificate.
    ///
    /// # Errors
    /// If there are no trusted roots, or the handshake fails.
    pub async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let config = self.http.trust.config().map_err(io::Error::other)?;
        TlsConnector::from(config).connect(self.server_name.clone(), stream).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::activity::Waiting;

    fn destination(host: &str, addresses: &[&str]) -> Destination {
        Destination {
            address: Address { host: host.to_owned(), port: 80 },
            authority: Address { host: host.to_owned(), port: 80 },
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            server_name: ServerName::try_from("a").unwrap(),
            connection: Arc::default(),
            namespace: None,
            activity: Activity::new(Waiting::Collector),
            http: Arc::default(),
            remark: LastRemark::default(),
        }
    }

    #[test]
    fn only_the_addresses_and_the_port_of_the_target_belong_to_it() {
        let own = destination("db", &["10.0.0.1:80", "[fd00::1]:80"]);
        for address in ["10.0.0.1:80", "[::ffff:10.0.0.1]:80", "[fd00::1]:80"] {
            assert!(own.is_at(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1:81", "10.0.0.2:80", "[fd00::2]:80", "0.0.0.0:80", "[::]:80", "[::ffff:10.0.0.2]:80"] {
            assert!(!own.is_at(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_lookup_knows_the_name_of_the_target_and_literal_addresses() {
        let own = destination("db", &["10.0.0.1:80", "[fd00::1]:80"]);
        let both: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(own.lookup("db"), Some(both.clone()));
        assert_eq!(own.lookup("DB"), Some(both));
        for address in ["127.0.0.1", "::1", "[::1]"] {
            let plain = address.trim_matches(['[', ']']).parse().unwrap();
            assert_eq!(own.lookup(address), Some(vec![plain]), "connecting to it is checked separately");
        }
        for name in ["db.", "db.example", "localhost", "", "0x7f000001", "127.1"] {
            assert_eq!(own.lookup(name), None, "{name}");
        }
    }
}
