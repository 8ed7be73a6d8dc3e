//! The network interfaces of this machine that containers are attached to.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::path::Path;

use if_addrs::IfAddr;

/// The addresses of this machine's own bridges, with the lengths of their prefixes. They are read when they are first
/// needed: a machine with a hundred containers has as many interfaces.
#[derive(Debug, Clone, Default)]
pub struct Bridges(OnceCell<Vec<(IpAddr, u8)>>);

impl Bridges {
    /// Returns the addresses of all bridges. There are none if the kernel does not list its interfaces.
    fn all(&self) -> &[(IpAddr, u8)] {
        self.0.get_or_init(|| {
            let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
            let bridges = interfaces.iter().filter(|interface| is_bridge(&interface.name));
            bridges.map(|bridge| address(&bridge.addr)).collect()
        })
    }

    /// Bridges with these addresses.
    #[cfg(test)]
    pub fn new(addresses: &[(&str, u8)]) -> Bridges {
        let addresses = addresses.iter().map(|(address, prefix)| (address.parse().unwrap(), *prefix));
        Bridges(OnceCell::from(addresses.collect::<Vec<_>>()))
    }

    /// Returns true if `address` belongs to a bridge.
    pub fn have(&self, address: IpAddr) -> bool {
        self.all().iter().any(|(own, _)| *own == address)
    }

    /// Returns true if the kernel sends packets for `address` over a bridge, by the prefixes of the bridges.
    pub fn lead_to(&self, address: IpAddr) -> bool {
        self.all().iter().any(|(own, prefix)| in_prefix(address, *own, *prefix))
    }
}

/// Only the kernel's bridges have this folder.
fn is_bridge(interface: &str) -> bool {
    Path::new("/sys/class/net").join(interface).join("bridge").exists()
}

fn address(address: &IfAddr) -> (IpAddr, u8) {
    match address {
        IfAddr::V4(v4) => (v4.ip.into(), v4.prefixlen),
        IfAddr::V6(v6) => (v6.ip.into(), v6.prefixlen),
    }
}

/// Returns true if the first `prefix` bits of both addresses are equal.
pub fn in_prefix(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let prefix = u32::from(prefix);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= prefix,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= prefix,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_prefix_of_its_own_family() {
        let is_in = |address: &str, network: &str, prefix| {
            in_prefix(address.parse().unwrap(), network.parse().unwrap(), prefix)
        };
        assert!(is_in("172.17.255.2", "172.17.0.1", 16));
        assert!(is_in("169.254.175.9", "169.254.172.1", 22));
        assert!(is_in("10.0.0.1", "10.0.0.1", 32));
        assert!(is_in("8.8.8.8", "10.0.0.1", 0));
        assert!(is_in("fd00::9", "fd00::1", 64));
        assert!(!is_in("172.18.0.2", "172.17.0.1", 16));
        assert!(!is_in("169.254.176.1", "169.254.172.1", 22));
        assert!(!is_in("10.0.0.2", "10.0.0.1", 32));
        assert!(!is_in("::ffff:172.17.0.2", "172.17.0.1", 16));
    }
}
