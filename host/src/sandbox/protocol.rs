//! The protocol of a target that does not speak HTTP, recognised by its first bytes.

use crate::text::{Foreign, foreign};

/// The beginning of a target's bytes, if it is not that of an HTTP/1 response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.
    Http,
    /// TLS.
    Tls,
    /// HTTP/2 without HTTP/1, as a gRPC server.
    Http2,
    /// Another protocol, with its name if it is known, and what came as text.
    Other(Option<&'static str>, Foreign),
}

/// Protocols whose servers begin with these bytes, or respond with them to an HTTP request.
const BEGINNINGS: [(&[u8], &str); 12] = [
    (b"SSH-", "SSH"),
    (b"-ERR", "Redis"),
    (b"-NOAUTH", "Redis"),
    (b"-DENIED", "Redis"),
    (b"AMQP", "AMQP"),
    (b"RFB ", "VNC"),
    (b"220 ", "SMTP or FTP"),
    (b"220-", "SMTP or FTP"),
    (b"+OK", "POP3"),
    (b"* OK", "IMAP"),
    (b"ERROR\r\n", "memcached"),
    (b"INFO {", "NATS"),
];

impl Spoken {
    /// Recognises a protocol; `None` if nothing came.
    pub fn of(begin: &[u8]) -> Option<Spoken> {
        Some(match begin {
            [] => return None,
            // Empty lines are allowed before a response.
            begin if begin.trim_ascii_start().starts_with(b"HTTP/1.") => Spoken::Http,
            // A record of an alert or a handshake, of a version 3.x.
            [0x15 | 0x16, 3, ..] => Spoken::Tls,
            // A frame of SETTINGS or GOAWAY for the whole connection.
            [_, _, _, 4 | 7, _, 0, 0, 0, 0, ..] => Spoken::Http2,
            // A packet with the number 0 of protocol version 10.
            [_, _, _, 0, 10, version @ ..] if version.contains(&0) => Spoken::Other(Some("MySQL"), readable(version)),
            begin => {
                let known = BEGINNINGS.iter().find(|(first, _)| begin.starts_with(first));
                Spoken::Other(known.map(|(_, name)| *name), readable(begin))
            }
        })
    }

    /// Describes it: "SSH: the target sent 'SSH-2.0-OpenSSH_9.2p1'", after `instead_of`, such as "not HTTP".
    pub fn describe(&self, instead_of: &str) -> String {
        match self {
            Spoken::Http => "the target speaks plain HTTP".to_owned(),
            Spoken::Tls => "the target speaks TLS".to_owned(),
            Spoken::Http2 => "the target speaks HTTP/2 only, as gRPC servers do; HTTP/1.1 is needed".to_owned(),
            Spoken::Other(None, sent) => format!("{instead_of}: the target sent '{sent}'"),
            Spoken::Other(Some(name), sent) => format!("{instead_of} but {name}: the target sent '{sent}'"),
        }
    }
}

/// The characters that are shown.
const SHOWN: usize = 60;

/// Returns the first readable text in `bytes`: their first line, or the first piece of it that is not binary.
fn readable(bytes: &[u8]) -> Foreign {
    let text = String::from_utf8_lossy(bytes);
    let is_readable = |piece: &&str| piece.trim().chars().count() > 2;
    let mut pieces = text.split(|c: char| c.is_control() && c != '\t' || c == char::REPLACEMENT_CHARACTER);
    let in_hex = || {
        let bytes: Vec<String> = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("bytes {}", bytes.join(" "))
    };
    foreign(&pieces.find(is_readable).map_or_else(in_hex, |piece| piece.trim().chars().take(SHOWN).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_named_by_its_first_bytes() {
        for (begin, expected) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], "the target speaks plain HTTP"),
            (b"\x15\x03\x01\x00\x02\x02\x46", "the target speaks TLS"),
            (b"\x16\x03\x03\x00\x7a", "the target speaks TLS"),
            (
                b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05",
                "the target speaks HTTP/2 only, as gRPC servers do; HTTP/1.1 is needed",
            ),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", "not HTTP but SSH: the target sent 'SSH-2.0-OpenSSH_9.2p1'"),
            (
                b"-ERR wrong number of arguments for 'get' command\r\n",
                "not HTTP but Redis: the target sent '-ERR wrong number of arguments for 'get' command'",
            ),
            (b"J\x00\x00\x00\x0a8.0.36\x00\x08\x00", "not HTTP but MySQL: the target sent '8.0.36'"),
            (b"220 mail.example ESMTP\r\n", "not HTTP but SMTP or FTP: the target sent '220 mail.example ESMTP'"),
            (b"AMQP\x00\x00\x09\x01", "not HTTP but AMQP: the target sent 'AMQP'"),
            (b"\xff\xfd\x18\xff\xfd login:", "not HTTP: the target sent 'login:'"),
            (b"{\"a\":1}", "not HTTP: the target sent '{\"a\":1}'"),
            (b"\x00\x01\x02", "not HTTP: the target sent 'bytes 00 01 02'"),
            (b"HTTP/3 200 OK\r\n", "not HTTP: the target sent 'HTTP/3 200 OK'"),
            (b"a\x1b[31mred", "not HTTP: the target sent '[31mred'"),
        ] {
            let spoken = Spoken::of(begin).map(|spoken| spoken.describe("not HTTP"));
            assert_eq!(spoken.as_deref(), Some(expected));
        }
        assert_eq!(Spoken::of(b""), None);
    }
}
