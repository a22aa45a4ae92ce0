//! What is shown of products while the catalogue is out, and when it is back.
//!
//! Whether that is from memory is not asked of its mark alone: every answer says when the catalogue gave it, and what was said
//! before it was asked for is from memory.

use std::time::Duration;

use super::{Promise, at_least};
use crate::figures::{InTheOutage, Reads};
use crate::layers::Layer;
use crate::products::STALE;
use crate::record::{Read, Run};
use crate::script::Phase;

/// How soon after the catalogue is back products must be shown as it says.
pub(super) const FRESH_WITHIN: Duration = Duration::from_secs(2);

/// So many fresh reads in a row are no accident.
pub(super) const IN_A_ROW: usize = 25;

pub(super) fn shown_in_the_outage(run: &Run) -> Promise {
    let InTheOutage { reads, sample } = InTheOutage::of(run);
    let (answered, sent) = (reads.answered(), reads.sent);
    let (held, figure) = match sample.enough() {
        Err(too_few) => (false, too_few.to_string()),
        Ok(()) => (at_least(99, answered, sent), format!("{answered} of {sent}")),
    };
    Promise { name: "products shown in the outage", layer: Layer::Cache, held, figure }
}

/// One that the catalogue itself answers meanwhile has met no outage.
pub(super) fn marked_in_the_outage(run: &Run) -> Promise {
    let InTheOutage { reads, sample } = InTheOutage::of(run);
    let (held, figure) = match (sample.enough(), reads.oldest) {
        (Err(too_few), _) => (false, too_few.to_string()),
        (Ok(()), None) => (false, "none was shown".into()),
        (Ok(()), Some(oldest)) => {
            let (stale, answered) = (reads.stale, reads.answered());
            let held = stale == answered && oldest <= STALE;
            (held, format!("{stale} of {answered}, oldest {} ms, allowed {}", oldest.as_millis(), STALE.as_millis()))
        }
    };
    Promise { name: "marked stale in the outage", layer: Layer::Cache, held, figure }
}

/// Memory is for those who would be told nothing else.
pub(super) fn fresh_after_recovery(run: &Run) -> Promise {
    let recovered = run.act(Phase::Recovery).map_or(Duration::MAX, |act| run.played[act].from);
    let (held, figure) = match fresh_again(&run.reads, recovered) {
        None => (false, format!("never {IN_A_ROW} in a row")),
        Some(Read { sent, shown }) => {
            let after = shown.map_or(Duration::MAX, |shown| shown.at.saturating_sub(recovered));
            let Reads { fresh, sent, .. } = Reads::during(run, &(*sent..Duration::MAX));
            let (after_ms, allowed_ms) = (after.as_millis(), FRESH_WITHIN.as_millis());
            let figure = format!("after {after_ms} ms, allowed {allowed_ms}; since then {fresh} of {sent}");
            (after <= FRESH_WITHIN && at_least(99, fresh, sent), figure)
        }
    };
    Promise { name: "products fresh after recovery", layer: Layer::Cache, held, figure }
}

/// The first of so many fresh reads in a row since the catalogue `recovered`. One that has no answer yet breaks the row, so what
/// was found once stays found.
pub(super) fn fresh_again(reads: &[Read], recovered: Duration) -> Option<&Read> {
    let since = &reads[reads.partition_point(|read| read.sent < recovered)..];
    since.windows(IN_A_ROW).find(|row| row.iter().all(Read::is_fresh)).map(|row| &row[0])
}
