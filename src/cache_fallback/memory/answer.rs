use crate::cache_fallback::state::Life;
use crate::clock::Moment;

/// An answer that is remembered.
#[derive(Debug)]
pub(in super::super) struct Answer<V> {
    pub(in super::super) value: V,
    pub(in super::super) life: Life,
    /// When its request was sent.
    pub(in super::super) asked_at: Moment,
    pub(in super::super) bytes: u64,
}
