//! The one place that a sandbox reaches over the network: by the capability `http`, by `wasi:http` or by `wasi:sockets`.
//!
//! | asked for | |
//! |---|---|
//! | one of the target's addresses, with the target's port | dialled |
//! | the target's name as it was fed in, with the target's port | its addresses are dialled |
//! | any other address, name or port | refused ([`Refused`](super::refused::Refused)) |
//!
//! The addresses are looked up before the guest runs, and never again: no name of the guest's choosing reaches a name server, and a
//! name that means something else a moment later is of no use.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::activity::Activity;
use crate::address::Address;
use crate::tls;

/// Where a sandbox's connections go. Decided before the guest runs.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The address as the guest is told it: an IP address or the name that the operator gave, and the port.
    pub address: Address,
    /// What it stands for: one address, or those that its name has.
    pub addresses: Vec<SocketAddr>,
    /// The name in the target's certificate.
    pub server_name: ServerName<'static>,
    /// Told what is being waited for.
    pub activity: Activity,
}

impl Destination {
    /// Whether `address` is the target's.
    pub fn is_at(&self, address: SocketAddr) -> bool {
        self.addresses.iter().any(|own| (own.ip(), own.port()) == (address.ip().to_canonical(), address.port()))
    }

    /// The addresses that `host` stands for: the target's own by its name, and an address by itself. None for any other name.
    pub fn look_up(&self, host: &str) -> Option<Vec<IpAddr>> {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Some(vec![address]);
        }
        host.eq_ignore_ascii_case(&self.address.host).then(|| self.addresses.iter().map(SocketAddr::ip).collect())
    }

    /// A connection to the target: to the first of its addresses that takes it.
    ///
    /// # Errors
    /// What the system says of the last one.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        self.activity.set("no connection");
        TcpStream::connect(self.addresses.as_slice()).await
    }

    /// A connection over TLS, with a certificate that this machine trusts.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub async fn connect_by_tls(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.connect().await?;
        let connector = TlsConnector::from(tls_config().map_err(io::Error::other)?);
        connector.connect(self.server_name.clone(), stream).await
    }
}

/// TLS with the machine's trusted roots, made when the first target wants it: reading them takes milliseconds.
fn tls_config() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let make = || {
        let roots = tls::native_roots();
        if roots.is_empty() {
            return Err("this machine has no trusted root certificates (SSL_CERT_FILE names them)".to_owned());
        }
        Ok(Arc::new(tls::client(roots)?.with_no_client_auth()))
    };
    CONFIG.get_or_init(make).clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::activity::COLLECTING;

    fn destination(host: &str, addresses: &[&str]) -> Destination {
        Destination {
            address: Address { host: host.to_owned(), port: 80 },
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            server_name: ServerName::try_from("a").unwrap(),
            activity: Activity::new(COLLECTING),
        }
    }

    #[test]
    fn only_the_targets_own_addresses_and_port_are_the_targets() {
        let own = destination("db", &["10.0.0.1:80", "[fd00::1]:80"]);
        for address in ["10.0.0.1:80", "[::ffff:10.0.0.1]:80", "[fd00::1]:80"] {
            assert!(own.is_at(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1:81", "10.0.0.2:80", "[fd00::2]:80", "0.0.0.0:80", "[::]:80", "[::ffff:10.0.0.2]:80"] {
            assert!(!own.is_at(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_look_up_knows_the_targets_name_and_addresses_as_they_are_written() {
        let own = destination("db", &["10.0.0.1:80", "[fd00::1]:80"]);
        let both: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(own.look_up("db"), Some(both.clone()));
        assert_eq!(own.look_up("DB"), Some(both));
        for address in ["127.0.0.1", "::1", "[::1]"] {
            let plain = address.trim_matches(['[', ']']).parse().unwrap();
            assert_eq!(own.look_up(address), Some(vec![plain]), "to connect there is another question");
        }
        for name in ["db.", "db.example", "localhost", "", "0x7f000001", "127.1"] {
            assert_eq!(own.look_up(name), None, "{name}");
        }
    }
}
