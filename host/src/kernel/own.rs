//! The container in which this program runs.

use rustix::fs::CWD;

use super::file::text;

/// Files that engines mount into every container, from a folder with the container's id.
const MOUNTED: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// Returns the id of the container in which this program runs, by its mounts; `None` outside of Docker and Podman.
pub fn container_id() -> Option<String> {
    parse(&text(CWD, "/proc/self/mountinfo")?).map(str::to_owned)
}

/// Parses `/proc/PID/mountinfo`, as the manual page `proc(5)` describes it: the fourth field is the mounted path, and
/// the fifth the mount point.
fn parse(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (source, place) = (fields.next()?, fields.next()?);
        let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit());
        source.split('/').find(is_id).filter(|_| MOUNTED.contains(&place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_container_is_known_by_its_mounted_files() {
        let id = "0123456789abcdef".repeat(4);
        let line =
            |source: &str, place: &str| format!("736 721 254:0 {source} {place} rw,relatime - ext4 /dev/vda rw\n");
        let root = line("/", "/");
        for source in [
            format!("/var/lib/docker/containers/{id}/resolv.conf"),
            format!("/containers/storage/overlay-containers/{id}/userdata/resolv.conf"),
        ] {
            assert_eq!(parse(&format!("{root}{}", line(&source, "/etc/resolv.conf"))), Some(id.as_str()), "{source}");
            assert_eq!(parse(&line(&source, "/srv/resolv.conf")), None, "mounted on purpose");
        }
        assert_eq!(parse(&format!("{root}{}", line("/etc/hostname", "/etc/hostname"))), None);
        assert_eq!(parse(""), None);
    }
}
