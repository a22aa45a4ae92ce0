use std::iter;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::count::{Ended, Share};
use super::slot::{Beginning, Slot};
use crate::striped::Striped;

/// The slots that no breaker uses. There are never more slots than there were breakers at one time.
static IDLE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<&'static Slot>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slot that is used by one breaker, until this and all its clones are dropped.
///
/// A service is cloned for a call by many a layer around it, and a retry is one of them. One count of all clones would be
/// written by all threads.
pub(super) struct Held {
    pub(super) slot: &'static Slot,
    share: &'static Share,
}

/// Who holds a slot.
pub(super) struct Holders {
    first: Share,
    /// Only what is cloned has these, of which a breaker for each key of very many is none.
    clones: OnceLock<Striped<Share>>,
    ended: Ended,
}

impl Held {
    pub(super) fn new(beginning: Beginning) -> Self {
        let used_before = idle().pop();
        let slot = match used_before {
            Some(slot) => {
                slot.begin_again(beginning);
                slot
            }
            None => Box::leak(Box::new(Slot::new(beginning))),
        };
        Self::counted(slot, &slot.holders().first)
    }

    fn counted(slot: &'static Slot, share: &'static Share) -> Self {
        share.add();
        Self { slot, share }
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        let by_now = self.slot.holders().clones.get().and_then(Striped::mine_by_now);
        Self::counted(self.slot, by_now.unwrap_or_else(|| first_clone(self.slot)))
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if self.share.remove() {
            give_back(self.slot);
        }
    }
}

/// By C's convention, under which nothing unwinds: whoever clones a handle among values that are to be dropped may then keep
/// them in registers. There is nothing here to unwind from.
#[cold]
#[inline(never)]
extern "C" fn first_clone(slot: &'static Slot) -> &'static Share {
    slot.holders().clones.get_or_init(|| Striped::new(Share::new)).mine()
}

/// Gives a slot back, if nobody holds it.
#[cold]
#[inline(never)]
fn give_back(slot: &'static Slot) {
    let Holders { first, clones, ended } = slot.holders();
    if ended.ends(iter::once(first).chain(clones.get().into_iter().flat_map(Striped::iter))) {
        slot.retire();
        idle().push(slot);
    }
}

impl Holders {
    pub(super) fn none() -> Self {
        Self { first: Share::new(), clones: OnceLock::new(), ended: Ended::never() }
    }
}
