//! Counts that both sources share: sums over devices, and stats without counts.

use crate::sandbox::container::{BlockIo, Cpu, Memory, Network, Operations, Processes, Stats, Throttling, Traffic};

/// Returns stats with a time and no counts.
pub fn empty(time: u64) -> Stats {
    let no_operations = Operations { read: None, write: None, synchronous: None, asynchronous: None };
    let no_traffic = Traffic { bytes: None, packets: None, errors: None, dropped: None };
    Stats {
        time,
        cpu: Cpu { usage: None, user: None, system: None },
        throttling: Throttling { periods: None, throttled_periods: None, throttled_time: None },
        memory: Memory { usage: None, used: None, limit: None, rss: None, cache: None },
        block_io: BlockIo { queued: no_operations, serviced: no_operations, bytes: no_operations },
        network: Network { received: no_traffic, sent: no_traffic },
        processes: Processes { current: None, limit: None },
    }
}

/// Sums counts over devices or interfaces. Returns `None` if there are no counts, one is missing, or the sum overflows:
/// a partial sum would be wrong.
pub fn sum(mut counts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    let first = counts.next()??;
    counts.try_fold(first, |sum, count| sum.checked_add(count?))
}

/// Sums operations over all devices, by kind. Kinds are capitalised in version 1 of control groups, and lower case in
/// version 2.
pub fn operations<'a>(entries: impl IntoIterator<Item = (&'a str, Option<u64>)>) -> Operations {
    let entries: Vec<_> = entries.into_iter().collect();
    let of = |kind: &str| {
        let entries = entries.iter().filter(|(of, _)| of.eq_ignore_ascii_case(kind));
        sum(entries.map(|(_, number)| *number))
    };
    Operations { read: of("read"), write: of("write"), synchronous: of("sync"), asynchronous: of("async") }
}

/// Returns the smallest of a limit and the known ones of its parents.
pub fn smallest(own: u64, parents: impl IntoIterator<Item = Option<u64>>) -> u64 {
    parents.into_iter().flatten().fold(own, u64::min)
}

/// Returns memory usage without the page cache that the kernel can drop at once, as `docker stats` does.
pub fn used(usage: Option<u64>, inactive_file: Option<u64>) -> Option<u64> {
    let (usage, inactive) = usage.zip(inactive_file)?;
    Some(if inactive < usage { usage - inactive } else { usage })
}
