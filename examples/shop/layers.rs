//! The kinds of layer in the shop, and which of them a run goes without.

use std::fmt;

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layer {
    Timeout,
    Breaker,
    Fallback,
    Limit,
    Retry,
    /// What runs an order once, however often it is sent; without it every click is charged under a key of its own.
    Dedup,
    /// What shows products of old while the catalogue is out.
    Cache,
    /// What the retries are paid from; without it there are as many as it takes.
    Budget,
}

impl Layer {
    /// The kinds that bear what this one would have to, as long as they are there: it is missed only without them.
    pub(crate) const fn hidden_by(self) -> &'static [Self] {
        match self {
            Self::Timeout | Self::Breaker | Self::Fallback | Self::Limit | Self::Retry | Self::Dedup | Self::Cache => {
                &[]
            }
            // Behind an open breaker nothing is sent, and so nothing is sent again.
            Self::Budget => &[Self::Breaker],
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "timeout",
            Self::Breaker => "breaker",
            Self::Fallback => "fallback",
            Self::Limit => "limit",
            Self::Retry => "retry",
            Self::Dedup => "dedup",
            Self::Cache => "cache",
            Self::Budget => "budget",
        })
    }
}

/// The kinds of layer that were taken away, to see what breaks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Without(Vec<Layer>);

impl Without {
    pub(crate) const fn new(layers: Vec<Layer>) -> Self {
        Self(layers)
    }

    /// What a stack is built with where `layer` stands: nothing if that kind was taken away.
    pub(crate) fn keep<L>(&self, kind: Layer, layer: L) -> Option<L> {
        (!self.0.contains(&kind)).then_some(layer)
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.0
    }
}
