//! A container's process, and the network namespace that it shares with the others of its container.
//!
//! Follows the kernel's document `proc` and the manual page `proc(5)`.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use procfs::net::{TcpNetEntries, TcpState};
use procfs::{FromBufReadSI as _, LocalSystemInfo};
use rustix::fs::CWD;

use super::file::{first_lines, text};
use crate::limits;

/// A process by its id. All of its files are read anew each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(pub i32);

impl Process {
    /// Returns true if this process can read its files. `/proc` can be mounted so that it hides those of other users
    /// (`hidepid`).
    pub fn is_visible(self) -> bool {
        fs::symlink_metadata(format!("/proc/{}/stat", self.0)).is_ok()
    }

    /// Returns the latest time at which the process was started, in nanoseconds since the machine was; `None` if it has
    /// ended. The kernel reports it in ticks, of 10 ms.
    pub fn started(self) -> Option<u64> {
        let tick = 1_000_000_000 / procfs::ticks_per_second().max(1);
        parse_start(&self.file("stat")?)?.checked_add(1)?.checked_mul(tick)
    }

    /// Returns the IPv4 addresses of its network interfaces, except that of `lo`.
    pub fn addresses(self) -> Vec<IpAddr> {
        let file = self.file("net/fib_trie").unwrap_or_default();
        let addresses: BTreeSet<IpAddr> = parse_trie(&file).filter(|address| !address.is_loopback()).collect();
        addresses.into_iter().collect()
    }

    /// Returns true if one of its network interfaces has `address`.
    pub fn has_address(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.file("net/fib_trie").is_some_and(|file| parse_trie(&file).any(|own| own == address)),
            IpAddr::V6(_) => {
                self.file("net/if_inet6").is_some_and(|file| parse_if_inet6(&file).any(|own| own == address))
            }
        }
    }

    /// Returns the addresses and ports at which its network namespace listens for TCP, or `None` if they cannot be
    /// read.
    pub fn listening(self) -> Option<Listening> {
        let lines = |name: &str| first_lines(format!("/proc/{}/net/{name}", self.0));
        let v4 = lines("tcp")?;
        let v6 = lines("tcp6").unwrap_or_default();
        let both = [parse_listening(&v4)?, parse_listening(&v6).unwrap_or_default()];
        Some(Listening(both.into_iter().flatten().collect()))
    }

    /// Returns true if the process holds one of `sockets`. Only privileged processes can read it.
    pub fn has_socket(self, sockets: &[u64]) -> bool {
        let links: Vec<String> = sockets.iter().map(|socket| format!("socket:[{socket}]")).collect();
        let files = fs::read_dir(format!("/proc/{}/fd", self.0)).into_iter().flatten().flatten();
        let targets = files.take(limits::FILES_OF_ONE).filter_map(|file| fs::read_link(file.path()).ok());
        targets.filter_map(|target| target.into_os_string().into_string().ok()).any(|target| links.contains(&target))
    }

    fn file(self, name: &str) -> Option<String> {
        text(CWD, format!("/proc/{}/{name}", self.0))
    }
}

/// Sockets that listen for TCP: bind addresses with ports, and the kernel's numbers of the sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listening(BTreeSet<(SocketAddr, u64)>);

impl Listening {
    /// Returns true if something listens on `port`.
    pub fn has(&self, port: u16) -> bool {
        !self.sockets(port).is_empty()
    }

    /// Returns true if only processes of the same network namespace can connect to `port`.
    pub fn is_only_loopback(&self, port: u16) -> bool {
        self.has(port) && !self.ports().contains(&port)
    }

    /// The ports that other namespaces can connect to.
    pub fn ports(&self) -> Vec<u16> {
        let reachable = self.0.iter().filter(|(address, _)| !address.ip().to_canonical().is_loopback());
        reachable.map(|(address, _)| address.port()).collect::<BTreeSet<u16>>().into_iter().collect()
    }

    /// The numbers of the sockets that listen on `port`.
    pub fn sockets(&self, port: u16) -> Vec<u64> {
        self.0.iter().filter(|(address, _)| address.port() == port).map(|(_, socket)| *socket).collect()
    }
}

/// Parses the field `starttime` of `/proc/PID/stat`, in ticks. The second field is the command in brackets, which can
/// have spaces and brackets itself.
fn parse_start(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    // It is field 22, and the first of these is field 3.
    fields.split(' ').nth(19)?.parse().ok()
}

/// Parses the local addresses in `/proc/PID/net/fib_trie`: each is a line `|-- ADDRESS`, before one with `host LOCAL`.
fn parse_trie(trie: &str) -> impl Iterator<Item = IpAddr> {
    let lines = || trie.lines().map(str::trim);
    lines()
        .zip(lines().skip(1))
        .filter(|(_, next)| next.ends_with(" host LOCAL"))
        .filter_map(|(line, _)| line.strip_prefix("|-- ")?.parse().ok())
}

/// Parses `/proc/PID/net/if_inet6`: an address in 32 hexadecimal digits, and after three fields its flags. A link's own
/// address is not one at which others connect.
fn parse_if_inet6(file: &str) -> impl Iterator<Item = IpAddr> {
    file.lines().filter_map(|line| {
        let digits = line.split(' ').next()?;
        let address = Ipv6Addr::from_bits(u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 32)?);
        (!address.is_unicast_link_local()).then_some(address.into())
    })
}

/// Parses the listening sockets in `/proc/PID/net/tcp` or `tcp6`. The kernel writes them before all connections, so an
/// unread end does not matter.
fn parse_listening(file: &str) -> Option<Vec<(SocketAddr, u64)>> {
    let entries = TcpNetEntries::from_buf_read(file.as_bytes(), &LocalSystemInfo).ok()?;
    let listening = entries.0.into_iter().filter(|entry| entry.state == TcpState::Listen);
    Some(listening.map(|entry| (entry.local_address, entry.inode)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_found_behind_any_command() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let fields = fields.join(" ");
        for command in ["app", "a) 1 2 (b", ") ", ""] {
            assert_eq!(parse_start(&format!("7 ({command}) {fields}")), Some(22), "{command}");
        }
        for wrong in ["", "7 (app)", "7 (app) S 1 2"] {
            assert_eq!(parse_start(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn local_addresses_are_read_from_the_trie() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 172.17.0.0\n\
                    \u{20}       /16 link UNICAST\nLocal:\n     |-- 127.0.0.1\n        /32 host LOCAL\n\
                    \u{20}    |-- 172.17.0.2\n        /32 host LOCAL\n     |-- 172.17.255.255\n        /32 link BROADCAST\n";
        let addresses: Vec<String> = parse_trie(trie).map(|address| address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1", "172.17.0.2"]);
    }

    #[test]
    fn addresses_of_ipv6_are_read_without_those_of_links() {
        let file = "fe80000000000000004211fffeac0002 12 40 20 80     eth0\n\
                    fd000000000000000000000000000002 12 40 00 80     eth0\nfd00 12 40 00 80 eth0\n\n";
        let addresses: Vec<String> = parse_if_inet6(file).map(|address| address.to_string()).collect();
        assert_eq!(addresses, ["fd00::2"]);
    }

    #[test]
    fn only_sockets_that_listen_count() {
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        let row = |local: &str, state: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0 1\n"
            )
        };
        let file = format!(
            "{header}\n{}{}{}",
            row("0100007F:1F91", "0A"),
            row("00000000:1F90", "0A"),
            row("020011AC:1F92", "01")
        );
        let listening = Listening(parse_listening(&file).unwrap().into_iter().collect());
        assert_eq!(listening.sockets(8080), [1]);
        assert!(listening.has(8080) && listening.has(8081) && !listening.has(8082));
        assert!(listening.is_only_loopback(8081) && !listening.is_only_loopback(8080));
        assert!(!listening.is_only_loopback(8082), "nothing listens there");
        assert_eq!(listening.ports(), [8080]);
    }

    #[test]
    fn this_process_is_known() {
        let process = Process(i32::try_from(std::process::id()).unwrap());
        assert!(process.started().is_some() && process.is_visible());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let listening = process.listening().unwrap();
        assert!(listening.is_only_loopback(port));
        assert!(process.has_socket(&listening.sockets(port)) && !process.has_socket(&[0]));
        assert!(Process(-1).started().is_none() && !Process(-1).is_visible());
        assert_eq!(Process(-1).listening(), None);
    }
}
