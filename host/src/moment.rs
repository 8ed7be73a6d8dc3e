//! Moments: a time by the wall clock and by the boot clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::limits;

/// A time by two clocks: one that survives a restart of the machine, and one that cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Nanoseconds since 1970.
    pub wall: u64,
    /// Nanoseconds since the machine was started.
    pub boot: u64,
}

impl Moment {
    /// Returns the current moment.
    pub fn now() -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let boot = Duration::try_from(boot).unwrap_or_default();
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Moment { wall: nanoseconds(wall), boot: nanoseconds(boot) }
    }

    /// Whole seconds since 1970.
    pub fn epoch(&self) -> u64 {
        self.wall / 1_000_000_000
    }

    /// Returns the most time that can have passed since `earlier`; `None` if a clock was set back or the machine restarted.
    pub fn since(&self, earlier: Moment) -> Option<Duration> {
        let wall = self.wall.checked_sub(earlier.wall)?;
        let boot = self.boot.checked_sub(earlier.boot)?;
        Some(Duration::from_nanos(wall.max(boot)))
    }

    /// Returns true if the wall clock was stepped since `earlier`. After a restart of the machine this is unknown, and false.
    pub fn is_set_since(&self, earlier: Moment) -> bool {
        let Some(boot) = self.boot.checked_sub(earlier.boot) else { return false };
        let wall = i128::from(self.wall) - i128::from(earlier.wall);
        (wall - i128::from(boot)).unsigned_abs() > limits::CLOCK_STEP.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_is_never_too_short() {
        let earlier = Moment { wall: 1_000, boot: 500 };
        let since = |wall, boot| Moment { wall, boot }.since(earlier);
        assert_eq!(since(1_060, 560), Some(Duration::from_nanos(60)));
        assert_eq!(since(1_030, 560), Some(Duration::from_nanos(60)), "the clock was set back a little");
        assert_eq!(since(4_600, 560), Some(Duration::from_nanos(3_600)), "the clock was set forward");
        assert_eq!(since(900, 560), None, "the clock was set back");
        assert_eq!(since(1_060, 10), None, "the machine was restarted");
    }

    #[test]
    fn a_step_of_the_wall_clock_shows_in_the_boot_clock() {
        const SECOND: u64 = 1_000_000_000;
        let earlier = Moment { wall: 1_000 * SECOND, boot: 500 * SECOND };
        let is_set = |wall, boot| Moment { wall: wall * SECOND, boot: boot * SECOND }.is_set_since(earlier);
        assert!(!is_set(1_060, 560));
        assert!(!is_set(1_061, 560) && !is_set(1_059, 560), "a leap second");
        assert!(is_set(1_062, 560) && is_set(u64::MAX / SECOND, 560), "forward");
        assert!(is_set(1_058, 560) && is_set(900, 560) && is_set(0, 560), "back");
        assert!(!is_set(1_060, 10), "the machine was restarted");
    }
}
