use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use tokio::sync::watch;

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
}

/// Says to whoever runs a request that it is not theirs any more.
pub(in super::super) struct Keeper(watch::Sender<bool>);

impl Execution {
    pub(in super::super) fn new(key: RecordKey, acquired: Acquired) -> (Keeper, Self) {
        let (sender, is_lost) = watch::channel(false);
        (Keeper(sender), Self { key, acquired, is_lost })
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
    /// from and does not know it.
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

    pub(in super::super) fn scope<F: Future>(self, future: F) -> Scoped<F> {
        Scoped { future, execution: Some(self) }
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
        self.0.send_replace(true);
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
        /// Puts things back where they were, also when the future panics.
        struct Entered<'a> {
            here: &'a mut Option<Execution>,
            outer: Option<Execution>,
        }
        impl Drop for Entered<'_> {
            fn drop(&mut self) {
                *self.here = IN_SCOPE.replace(self.outer.take());
            }
        }
        let this = self.project();
        let outer = IN_SCOPE.replace(this.execution.take());
        let _entered = Entered { here: this.execution, outer };
        this.future.poll(cx)
    }
}
