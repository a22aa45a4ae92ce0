//! The scripts as data: which phases a run goes through, how long and how fast, how provider and catalogue fare in each, and
//! how patient the shop's breaker is.

use std::time::Duration;

use clap::ValueEnum;

use crate::orders::RATE;
use crate::upstream::Mood;

/// How many products a second are read, in all phases.
pub(crate) const READS: u32 = 100;

/// What happens to the payment provider, and so to the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Calm,
    Shaky,
    Slow,
    Outage,
    Recovery,
    Burst,
}

impl Phase {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Shaky => "shaky",
            Self::Slow => "slow",
            Self::Outage => "outage",
            Self::Recovery => "recovery",
            Self::Burst => "burst",
        }
    }

    /// How the provider fares in it,
    pub(crate) const fn provider(self) -> Mood {
        match self {
            Self::Calm | Self::Recovery | Self::Burst => Mood::Healthy,
            Self::Shaky => Mood::Shaky,
            Self::Slow => Mood::Slow,
            Self::Outage => Mood::Outage,
        }
    }

    /// and the catalogue.
    pub(crate) const fn catalogue(self) -> Mood {
        match self {
            Self::Outage => Mood::Outage,
            Self::Calm | Self::Shaky | Self::Slow | Self::Recovery | Self::Burst => Mood::Healthy,
        }
    }

    /// How long after its beginning the order service is killed, in a run in which it crashes: while orders are paid at once,
    /// while they are tried several times, and while nearly all that have come are still waiting for the provider.
    pub(crate) const fn crash_after(self) -> Option<Duration> {
        match self {
            Self::Calm | Self::Shaky | Self::Slow | Self::Burst => Some(Duration::from_millis(400)),
            Self::Outage | Self::Recovery => None,
        }
    }

    /// How much of its beginning is not judged: until then the shop may find out that something has changed.
    pub(crate) const fn settling(self) -> Duration {
        match self {
            Self::Slow | Self::Outage => Duration::from_millis(500),
            Self::Calm | Self::Shaky | Self::Recovery | Self::Burst => Duration::from_millis(100),
        }
    }

    /// How much of its end is not judged: those orders are answered in the next one. Where tries fail at once, the last of
    /// an order's four comes up to 350 ms after the first.
    pub(crate) const fn run_out(self) -> Duration {
        match self {
            Self::Shaky | Self::Outage => Duration::from_millis(400),
            Self::Calm | Self::Slow | Self::Recovery | Self::Burst => Duration::from_millis(100),
        }
    }
}

/// One phase in a script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act {
    pub(crate) phase: Phase,
    pub(crate) lasts: Duration,
    /// Orders per second.
    pub(crate) rate: u32,
    /// Whether it is over as soon as its promises are decided.
    pub(crate) until_decided: bool,
}

const fn act(phase: Phase, millis: u64, rate: u32) -> Act {
    Act { phase, lasts: Duration::from_millis(millis), rate, until_decided: false }
}

// Without timeouts every order of the slow phase holds its client (there are 200) for 2.5 s, far into the outage. Its rate
// leaves enough of them free for the outage's own orders; otherwise taking away one layer would break another's promise.
// Shaky follows calm, where the retries' budget is full and the breaker has seen nothing but good calls. It is long enough
// for chance: of 570 orders 540 are waited for, four or five of them find every try failing, and seventeen, which break its
// promise, are to be expected in three runs of a million.
// A recovery is long enough for the promise of being paid again to be kept in the last moment. The burst is last, so that
// nothing is left of it in any other phase; a storm that is kept from sending a third of it still offers twice the limit.
// All rates but that of the burst leave the limit room for what is sent again, which is up to four tenths as much.
const FULL: &[Act] = &[
    act(Phase::Calm, 3500, 400),
    act(Phase::Shaky, 3000, 400),
    act(Phase::Slow, 2500, 60),
    act(Phase::Outage, 5000, 400),
    act(Phase::Recovery, 3500, 400),
    act(Phase::Burst, 3000, 3 * RATE),
];

const FAST: &[Act] = &[
    act(Phase::Calm, 800, 400),
    act(Phase::Shaky, 1450, 600),
    act(Phase::Slow, 900, 60),
    act(Phase::Outage, 1800, 600),
    Act { until_decided: true, ..act(Phase::Recovery, 3000, 400) },
    act(Phase::Burst, 1200, 3 * RATE),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Script {
    /// About 22 s, to watch.
    Full,
    /// About 8 s, to check.
    Fast,
}

impl Script {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Fast => "fast",
        }
    }

    pub(crate) const fn acts(self) -> &'static [Act] {
        match self {
            Self::Full => FULL,
            Self::Fast => FAST,
        }
    }

    /// How long the shop's breaker leaves a failing provider alone before it looks again; `fast` has less time.
    pub(crate) const fn open_for(self) -> Duration {
        match self {
            Self::Full => Duration::from_secs(1),
            Self::Fast => Duration::from_millis(500),
        }
    }
}
