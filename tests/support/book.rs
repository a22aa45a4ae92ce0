//! Where orders are carried out, and where it can be seen how often.

use std::collections::HashMap;
use std::sync::Mutex;

use buttress::Error;
use buttress::idempotency::Acquired;

use super::orders::Failure;

/// Where the orders are carried out. It keeps the largest fence that it has seen of each, and lets nobody write who has a
/// smaller one.
#[derive(Default)]
pub(crate) struct Book(Mutex<HashMap<u32, Page>>);

pub(crate) struct Page {
    pub(crate) fence: u64,
    /// What was done, and by which fence.
    pub(crate) effects: Vec<(u64, u32)>,
    pub(crate) runs: u32,
    pub(crate) takeovers: u32,
    pub(crate) releases: u32,
    pub(crate) zombies: u32,
    /// Whether each run had a larger fence than all before it.
    pub(crate) fences_grew: bool,
    /// Runs that were not stopped in the midst.
    pub(crate) ended: u32,
}

impl Default for Page {
    fn default() -> Self {
        let fence = 0;
        Self { fence, effects: vec![], runs: 0, takeovers: 0, releases: 0, zombies: 0, fences_grew: true, ended: 0 }
    }
}

impl Book {
    pub(crate) fn page<T>(&self, order: u32, on: impl FnOnce(&mut Page) -> T) -> T {
        on(self.0.lock().expect("no panic").entry(order).or_default())
    }

    /// Whoever begins says so, and hears what was done before.
    pub(crate) fn begin(&self, order: u32, run: Acquired) -> Option<u32> {
        self.page(order, |page| {
            page.runs += 1;
            page.takeovers += u32::from(run.is_recovered());
            page.fences_grew &= run.fence > page.fence;
            page.fence = page.fence.max(run.fence);
            page.effects.last().map(|(_, effect)| *effect)
        })
    }

    pub(crate) fn write(&self, order: u32, fence: u64, effect: u32) -> Result<u32, Failure> {
        self.page(order, |page| {
            if fence < page.fence {
                page.zombies += 1;
                return Err(Error::Inner("a zombie"));
            }
            page.effects.push((fence, effect));
            Ok(effect)
        })
    }
}
