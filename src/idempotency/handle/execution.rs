use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use tokio::sync::watch;

use super::transaction::Enlistment;
use crate::idempotency::config::RecordKey;
use crate::idempotency::state::Acquired;

thread_local! {
    static IN_SCOPE: RefCell<Option<Execution>> = const { RefCell::new(None) };
}

/// The run of a request that is to be run once, for whoever runs it.
///
/// Code of the wrapped service finds it by [`current`](Self::current).
#[derive(Clone)]
pub struct Execution {
    key: RecordKey,
    acquired: Acquired,
    is_lost: watch::Receiver<bool>,
    enlistment: Option<Enlistment>,
}

/// Says to whoever runs a request that it is not theirs any more.
pub(in super::super) struct Keeper {
    is_lost: watch::Sender<bool>,
    enlistment: Option<Enlistment>,
}

impl Execution {
    pub(in super::super) fn new(key: RecordKey, acquired: Acquired, enlistment: Option<Enlistment>) -> (Keeper, Self) {
        let (sender, is_lost) = watch::channel(false);
        (Keeper { is_lost: sender, enlistment: enlistment.clone() }, Self { key, acquired, is_lost, enlistment })
    }

    /// The run that the current task is on behalf of; `None` outside of one, in a task that it spawned, and where a request is
    /// [run without the store](super::super::WhenUnavailable::Run) or as often as it is sent, since it has no key.
    #[must_use]
    pub fn current() -> Option<Self> {
        IN_SCOPE.with_borrow(Clone::clone)
    }

    /// What the request is recorded under.
    #[must_use]
    pub const fn key(&self) -> &RecordKey {
        &self.key
    }

    /// Larger for each run of the same request; of two requests it says nothing. Write it down with what the request asks for,
    /// beside what each operation asks for its own, and refuse to write for a smaller one: that is of a run that was taken over
    /// from and does not know it. Those of our stores fit an `i64`, which databases have.
    #[must_use]
    pub const fn fence(&self) -> u64 {
        self.acquired.fence
    }

    /// Which run of the request this is, from 1; one that came to nothing does not count.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.acquired.attempt
    }

    /// Whether a run before this one ended without anybody knowing what came of it: the effect may be there already.
    /// (Or it was none: see [`max_attempts`](crate::idempotency::IdempotencyConfig::max_attempts).)
    #[must_use]
    pub const fn is_recovered(&self) -> bool {
        self.acquired.is_recovered()
    }

    /// Whether the request is not this run's any more: another may have begun. What it does from now on may be done twice.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        *self.is_lost.borrow()
    }

    /// Waits until the request is not this run's any more; for ever, if it stays so.
    pub async fn lost(&self) {
        if self.is_lost.clone().wait_for(|is_lost| *is_lost).await.is_err() {
            // It has come to its end.
            std::future::pending::<()>().await;
        }
    }

    /// Whether the run has asked for [its transaction](super::super::InTransaction). What was done in it is undone unless what came of
    /// the run is [final](super::super::Verdict::Final).
    #[must_use]
    pub fn is_in_transaction(&self) -> bool {
        self.enlistment.as_ref().is_some_and(Enlistment::was_asked_for)
    }

    /// Whether [that](Self::is_in_transaction) is so of the run that the current task is on behalf of.
    pub(crate) fn current_is_in_transaction() -> bool {
        IN_SCOPE.with_borrow(|run| run.as_ref().is_some_and(Self::is_in_transaction))
    }

    /// Undoes what the run that the current task is on behalf of did in a transaction, also if what came of it is final.
    #[allow(dead_code, reason = "asked only by what knows answers that failed, which features add")]
    pub(crate) fn roll_back_current() {
        let enlistment = IN_SCOPE.with_borrow(|run| run.as_ref()?.enlistment.clone());
        enlistment.iter().for_each(Enlistment::roll_back);
    }

    pub(in super::super) fn scope<F: Future>(self, future: F) -> Scoped<F> {
        Scoped { future, execution: Some(self) }
    }

    pub(in super::super) fn within<T>(self, run: impl FnOnce() -> T) -> T {
        let mut execution = Some(self);
        let _entered = Entered::into(&mut execution);
        run()
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Acquired { fence, attempt } = self.acquired;
        let mut run = f.debug_struct("Execution");
        run.field("key", &self.key).field("fence", &fence).field("attempt", &attempt);
        run.field("is_lost", &self.is_lost()).finish()
    }
}

impl Keeper {
    pub(in super::super) fn lose(&self) {
        self.is_lost.send_replace(true);
    }

    /// Somebody else runs the request: what this one has written and not committed is in the way, and never will be.
    pub(in super::super) fn taken_over(&self) {
        self.enlistment.iter().for_each(Enlistment::lose);
        self.lose();
    }
}

#[pin_project]
pub(in super::super) struct Scoped<F> {
    #[pin]
    future: F,
    /// Here while the future is not polled.
    execution: Option<Execution>,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::into(this.execution);
        this.future.poll(cx)
    }
}

/// Puts things back where they were, also after a panic.
struct Entered<'a> {
    here: &'a mut Option<Execution>,
    outer: Option<Execution>,
}

impl<'a> Entered<'a> {
    fn into(here: &'a mut Option<Execution>) -> Self {
        let outer = IN_SCOPE.replace(here.take());
        Self { here, outer }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        *self.here = IN_SCOPE.replace(self.outer.take());
    }
}
