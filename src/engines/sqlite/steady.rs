use std::fs::read_to_string;
use std::time::Duration;

use crate::clock::Moment;

/// Another each time the machine is started.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// How long it is up, in seconds.
const UPTIME: &str = "/proc/uptime";

/// A clock that nobody sets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Steady {
    /// How long the machine is up, the time that it slept included: the same for all its processes.
    Machine { boot: String },
    /// That of this process alone.
    Process,
}

impl Steady {
    /// That of the machine, if it tells: Linux does.
    pub(super) fn find() -> Self {
        match (read_to_string(BOOT), uptime()) {
            (Ok(boot), Some(_)) => Self::Machine { boot: boot.trim().into() },
            _ => Self::Process,
        }
    }

    pub(super) fn boot(&self) -> Option<&str> {
        match self {
            Self::Machine { boot } => Some(boot),
            Self::Process => None,
        }
    }

    pub(super) fn now(&self) -> Option<Moment> {
        match self {
            Self::Machine { .. } => Some(Moment::EPOCH + uptime()?),
            Self::Process => Some(Moment::now()),
        }
    }
}

fn uptime() -> Option<Duration> {
    parse(&read_to_string(UPTIME).ok()?)
}

fn parse(uptime: &str) -> Option<Duration> {
    let seconds = uptime.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_the_machine_is_up_is_the_first_of_the_two_numbers() {
        assert_eq!(parse("75487.58 68959.36\n"), Some(Duration::from_millis(75_487_580)));
        assert_eq!(parse("-1 2"), None);
        assert_eq!(parse("a while"), None);
        assert_eq!(parse(""), None);
    }
}
