use std::sync::{Mutex, MutexGuard, PoisonError};

use super::slot::{Beginning, Slot};

/// The slots that no breaker uses. There are never more slots than there were breakers at one time.
static IDLE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<&'static Slot>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slot for one breaker, until it is dropped.
pub(super) struct Owned(pub(super) &'static Slot);

impl Owned {
    pub(super) fn new(beginning: Beginning) -> Self {
        let used_before = idle().pop();
        Self(match used_before {
            Some(slot) => {
                slot.begin_again(beginning);
                slot
            }
            None => Box::leak(Box::new(Slot::new(beginning))),
        })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.retire();
        idle().push(self.0);
    }
}
