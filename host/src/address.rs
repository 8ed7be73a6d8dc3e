//! Addresses of targets and engines.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::text::Expected;

/// An IP address or a host name, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// An IPv4 address, an IPv6 address without brackets, or a name.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl FromStr for Address {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Address, Expected> {
        let wrong = || Expected("HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string(),
            None => host.to_owned(),
        };
        let is_name = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if host.is_empty() || !(is_name || host.parse::<Ipv6Addr>().is_ok() && text.starts_with('[')) {
            return Err(wrong());
        }
        Ok(Address { host, port })
    }
}

impl Address {
    /// Returns true for a host that is this machine on every machine: `localhost` or a loopback address, without
    /// brackets.
    pub fn is_here(host: &str) -> bool {
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_with_brackets_around_ipv6() {
        for (text, shown) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[0:0::1]:80", "[::1]:80"),
            ("my_app-1.x:80", "my_app-1.x:80"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            ":",
            "a",
            "a:",
            ":80",
            "a:0",
            "a:65536",
            "::1:80",
            "[a]:80",
            "[::1]",
            "a b:80",
            "user@a:80",
            "http://a:80",
            "a/:80",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn this_machine_is_localhost_and_every_loopback_address() {
        assert!(["localhost", "127.0.0.1", "127.8.9.10", "::1"].into_iter().all(Address::is_here));
        assert!(!["localhost.example.com", "0.0.0.0", "10.0.0.1", "::", "web-1"].into_iter().any(Address::is_here));
    }
}
