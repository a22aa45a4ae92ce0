//! An event for every decision, with target `buttress` at `DEBUG`, at `INFO` where it is about more than one call, and
//! at `WARN` where something is put together wrongly; no code at all without the feature `tracing`.
//!
//! Fields: `layer` (the pattern), `name` (the layer's own), and what the decision adds.

#![cfg_attr(not(feature = "tracing"), allow(unused_variables))]

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::attempt::Attempt;
use crate::name::Name;
use crate::outcome::{Degraded, Failure};
use crate::rejection::{Elapsed, Limited, Open, Refused, TripReason};

macro_rules! decided {
    ($($event:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::event!(target: "buttress", tracing::Level::DEBUG, $($event)*);
    };
}

macro_rules! changed {
    ($($event:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::event!(target: "buttress", tracing::Level::INFO, $($event)*);
    };
}

/// A timeout gave up on a call, or refused one that came too late.
pub(crate) fn timed_out(elapsed: &Elapsed) {
    decided!(
        layer = "timeout",
        name = %elapsed.name(),
        allowed = ?elapsed.allowed(),
        by_deadline = elapsed.by_deadline(),
        called = elapsed.was_called(),
        "timed out"
    );
}

/// A substitute was answered.
pub(crate) fn degraded(degraded: &Degraded) {
    decided!(
        layer = degraded.layer(),
        name = %degraded.name(),
        failure = %degraded.failure(),
        "answered with a substitute"
    );
}

/// A call failed in a way that is not stood in for.
pub(crate) fn left_alone(layer: &'static str, name: &Name, failure: &Failure) {
    decided!(layer, name = %name, failure = %failure, "failure left alone");
}

/// A substitute was asked for and failed too.
pub(crate) fn substitute_failed(degraded: &Degraded) {
    decided!(
        layer = degraded.layer(),
        name = %degraded.name(),
        failure = %degraded.failure(),
        "the substitute failed too"
    );
}

/// An answer of old stood in for a failure.
pub(crate) fn recalled(degraded: &Degraded, age: Duration) {
    decided!(
        layer = degraded.layer(),
        name = %degraded.name(),
        failure = %degraded.failure(),
        ?age,
        "answered from memory"
    );
}

/// No answer of old stood in for a failure.
pub(crate) fn nothing_remembered(name: &Name, failure: &Failure) {
    decided!(layer = "cache_fallback", name = %name, failure = %failure, "nothing to answer from memory");
}

/// An answer is not kept.
pub(crate) fn not_remembered(name: &Name, reason: &'static str) {
    decided!(layer = "cache_fallback", name = %name, reason, "not remembered");
}

/// An answer that others are told meanwhile was asked for in vain.
pub(crate) fn refresh_failed(name: &Name) {
    decided!(layer = "cache_fallback", name = %name, "not refreshed");
}

/// Answers of old are not told any more.
pub(crate) fn forgotten(name: &Name, entries: usize) {
    decided!(layer = "cache_fallback", name = %name, entries, "forgotten");
}

/// A second level of memory was asked for something, or told, in vain.
pub(crate) fn second_level_failed(operation: &'static str, error: &(dyn Error + 'static)) {
    decided!(layer = "cache_fallback", operation, error, "the second level failed");
}

/// A second level is not told something.
pub(crate) fn second_level_not_told(operation: &'static str, reason: &'static str) {
    decided!(layer = "cache_fallback", operation, reason, "the second level is not told");
}

/// A circuit began a new generation.
pub(crate) fn circuit_changed(
    name: &impl fmt::Display,
    from: &'static str,
    to: &'static str,
    reason: Option<TripReason>,
    generation: u64,
) {
    changed!(
        layer = "circuit_breaker",
        name = %name,
        from,
        to,
        reason = reason.map(TripReason::as_str),
        generation,
        "circuit changed"
    );
}

/// A circuit breaker refused a call.
pub(crate) fn circuit_refused(open: &Open) {
    decided!(
        layer = "circuit_breaker",
        name = %open.name(),
        reason = open.reason().as_str(),
        retry_after = ?open.retry_after(),
        "refused"
    );
}

/// A circuit breaker that only observes would have refused a call.
pub(crate) fn circuit_would_have_refused(name: &impl fmt::Display, reason: TripReason) {
    decided!(layer = "circuit_breaker", name = %name, reason = reason.as_str(), "would have refused");
}

/// An answer came too late to mean anything to its circuit.
pub(crate) fn circuit_ignored(name: &impl fmt::Display) {
    decided!(layer = "circuit_breaker", name = %name, "stale answer ignored");
}

/// What a task of its own decides belongs to what it was begun for.
#[cfg(feature = "tracing")]
pub(crate) fn in_this_span<F: Future>(future: F) -> impl Future<Output = F::Output> {
    tracing::Instrument::in_current_span(future)
}

/// Without spans there is nothing to belong to.
#[cfg(not(feature = "tracing"))]
pub(crate) const fn in_this_span<F: Future>(future: F) -> F {
    future
}

/// A request is run, which nobody runs and nobody has.
pub(crate) fn run_began(name: &Name, key: &impl fmt::Display, fence: u64, attempt: u32) {
    decided!(layer = "idempotency", name = %name, %key, fence, attempt, "running");
}

/// What came of a request is recorded, or that nothing did.
pub(crate) fn run_ended(name: &Name, key: &impl fmt::Display, outcome: &'static str) {
    decided!(layer = "idempotency", name = %name, %key, outcome, "recorded");
}

/// A request was not run, and its sender was told what was recorded.
pub(crate) fn replayed(name: &Name, key: &impl fmt::Display) {
    decided!(layer = "idempotency", name = %name, %key, "replayed");
}

/// A store did not say what is known of a request.
pub(crate) fn store_failed(name: &Name, error: &(dyn Error + 'static)) {
    decided!(layer = "idempotency", name = %name, error, "the store failed");
}

/// A request was not run.
pub(crate) fn not_run(refused: &Refused, key: Option<&impl fmt::Display>) {
    decided!(
        layer = "idempotency",
        name = %refused.name(),
        key = key.map(tracing::field::display),
        reason = refused.reason().as_str(),
        retry_after = ?refused.retry_after(),
        "refused"
    );
}

/// A request is not its run's own any more, or what came of it is not known to anybody who asks.
pub(crate) fn run_in_doubt(name: &Name, key: &impl fmt::Display, why: &str) {
    changed!(layer = "idempotency", name = %name, %key, why, "in doubt");
}

/// What a run did in its transaction is undone, since it could not be committed.
pub(crate) fn rolled_back(name: &Name, key: &impl fmt::Display, why: &dyn fmt::Display) {
    changed!(layer = "idempotency", name = %name, %key, why = %why, "rolled back");
}

/// Nobody told who sent a request, which is how a server is put together and not how the request is made.
#[cfg(feature = "http")]
pub(crate) fn peer_unknown(is_first: bool) {
    const REASON: &str = "its peer is not known";
    if is_first {
        #[cfg(feature = "tracing")]
        tracing::event!(
            target: "buttress",
            tracing::Level::WARN,
            layer = "client_ip",
            reason = REASON,
            "client unknown; does the server tell who calls?"
        );
    } else {
        client_unknown(REASON);
    }
}

/// It cannot be said which client sent a request.
#[cfg(feature = "http")]
pub(crate) fn client_unknown(reason: &str) {
    decided!(layer = "client_ip", reason, "client unknown");
}

/// A deadline that came over the wire was not taken.
#[cfg(feature = "http")]
pub(crate) fn deadline_ignored(header: &str, reason: &str) {
    decided!(layer = "timeout", header, reason, "deadline ignored");
}

/// A rate limiter refused a call.
#[cfg_attr(feature = "tracing", cold, inline(never))]
pub(crate) fn rate_limited(limited: Limited) {
    decided!(
        layer = "rate_limit",
        name = %limited.name(),
        reason = limited.reason().as_str(),
        retry_after = ?limited.retry_after(),
        "refused"
    );
}

/// A call has waited for its tokens and has them.
pub(crate) fn rate_limit_waited(name: &Name, waited: Duration) {
    decided!(layer = "rate_limit", name = %name, ?waited, "waited");
}

/// A rate limiter by key had no place for another one.
pub(crate) fn rate_limit_overflowed(name: &Name) {
    decided!(layer = "rate_limit", name = %name, "no place for another key");
}

/// Somebody emptied a bucket.
pub(crate) fn rate_limit_drained(name: &Name) {
    changed!(layer = "rate_limit", name = %name, "drained");
}

/// A rate limiter has other settings.
pub(crate) fn rate_limit_reconfigured(name: &Name, interval: Duration, burst: u32) {
    changed!(layer = "rate_limit", name = %name, ?interval, burst, "reconfigured");
}

/// A call failed, and is made again after a wait.
pub(crate) fn retrying(name: &Name, attempt: Attempt, failure: &Failure, wait: Duration) {
    decided!(
        layer = "retry",
        name = %name,
        attempt = attempt.number(),
        failure = %failure,
        ?wait,
        "retrying"
    );
}

/// A call failed, and is not made again.
pub(crate) fn retry_stopped(name: &Name, attempt: Attempt, failure: &Failure, reason: &'static str) {
    decided!(
        layer = "retry",
        name = %name,
        attempt = attempt.number(),
        failure = %failure,
        reason,
        "not retried"
    );
}

/// A call succeeded after it had failed.
pub(crate) fn retry_succeeded(name: &Name, attempt: Attempt) {
    decided!(layer = "retry", name = %name, attempt = attempt.number(), "succeeded in the end");
}

/// The service was to be called again, and failed to become ready.
pub(crate) fn retry_not_ready(name: &Name, attempt: Attempt) {
    decided!(layer = "retry", name = %name, attempt = attempt.number(), "not ready for another attempt");
}

/// A request is sent again on behalf of the current span.
#[cfg(feature = "http")]
pub(crate) fn resent(attempt: Attempt) {
    #[cfg(feature = "tracing")]
    tracing::Span::current().record("http.request.resend_count", attempt.resends());
}

/// The body of a request is not kept, or no longer, so that the attempt under way is the last.
#[cfg(feature = "http")]
pub(crate) fn body_not_kept(reason: &str) {
    decided!(layer = "retry", reason, "body not kept");
}
