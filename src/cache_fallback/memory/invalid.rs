use std::error::Error;
use std::fmt;

/// Limits that a [`MemoryStore`](super::MemoryStore) cannot keep.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidMemory {
    /// One key may have more than half of all bytes.
    EntryTooLarge {
        /// What one key may have.
        max_entry: u64,
        /// What all have together.
        max_bytes: u64,
    },
    /// One key may have so few bytes that no answer fits.
    EntryTooSmall {
        /// What one key may have.
        max_entry: u64,
        /// What it takes at least.
        least: u64,
    },
}

impl fmt::Display for InvalidMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EntryTooLarge { max_entry, max_bytes } => {
                write!(
                    f,
                    "an entry of {max_entry} bytes is more than half of the {max_bytes} bytes that all have together"
                )
            }
            Self::EntryTooSmall { max_entry, least } => {
                write!(f, "an entry of {max_entry} bytes holds nothing: it takes {least} at least")
            }
        }
    }
}

impl Error for InvalidMemory {}
