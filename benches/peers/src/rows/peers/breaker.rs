use failsafe::{CircuitBreaker, Config, backoff, failure_policy};
use recloser::Recloser;
use tower::{Layer, ServiceExt};
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer, DefaultClassifier, SlidingWindowType};

use super::super::breaker::one_fails_in;
use super::super::{HOUR, Rows};
use super::{TOWER_RESILIENCE, good};
use crate::calls::{always, now, of, through};
use crate::inner::{Bare, answer};

const CLOSED: &str = "circuit breaker, last calls";
const WITH_FAILURES: &[&str] =
    &["circuit breaker, last calls, one in 50 fails", "circuit breaker, last calls, one of 2000 failed"];
const TIME_WINDOW: &str = "circuit breaker, time window";
const OPEN: &str = "circuit breaker, open";

const RECLOSER: &str = "recloser";
const FAILSAFE: &str = "failsafe, consecutive failures";
/// A time window and consecutive failures.
const FAILSAFE_DEFAULT: &str = "failsafe, its default";

/// It counts for ever instead of sliding, which is less work.
pub(super) fn counting() -> CircuitBreakerLayer<DefaultClassifier> {
    CircuitBreakerLayer::builder().sliding_window_size(100).build().expect("valid")
}

pub(super) fn add(rows: &mut Rows) {
    rows.peer(RECLOSER, &[CLOSED], || {
        let breaker = recloser(100);
        of(move |number| breaker.call(|| answer(number)), always(2), good)
    });
    rows.peer(RECLOSER, WITH_FAILURES, || {
        let breaker = recloser(100);
        of(
            move |number| breaker.call(|| answer(number)),
            one_fails_in(50),
            |answer| matches!(answer, Ok(2) | Err(recloser::Error::Inner(_))),
        )
    });
    rows.peer(RECLOSER, &[OPEN], || {
        let breaker = recloser(1);
        while !matches!(breaker.call(|| answer(1)), Err(recloser::Error::Rejected)) {}
        of(
            move |number| breaker.call(|| answer(number)),
            always(2),
            |answer| matches!(answer, Err(recloser::Error::Rejected)),
        )
    });
    rows.peer(FAILSAFE, &[CLOSED], || {
        let breaker = consecutive(5);
        of(move |number| breaker.call(|| answer(number)), always(2), good)
    });
    rows.peer(FAILSAFE, WITH_FAILURES, || {
        let breaker = consecutive(5);
        of(
            move |number| breaker.call(|| answer(number)),
            one_fails_in(50),
            |answer| matches!(answer, Ok(2) | Err(failsafe::Error::Inner(_))),
        )
    });
    rows.peer(FAILSAFE_DEFAULT, &[TIME_WINDOW], || {
        let breaker = Config::new().build();
        of(move |number| breaker.call(|| answer(number)), always(2), good)
    });
    rows.peer(FAILSAFE, &[OPEN], || {
        let breaker = consecutive(1);
        while !matches!(breaker.call(|| answer(1)), Err(failsafe::Error::Rejected)) {}
        of(
            move |number| breaker.call(|| answer(number)),
            always(2),
            |answer| matches!(answer, Err(failsafe::Error::Rejected)),
        )
    });
    rows.peer(TOWER_RESILIENCE, &[CLOSED], || through(counting().layer(Bare), always(2), good));
    rows.peer(TOWER_RESILIENCE, WITH_FAILURES, || {
        through(counting().layer(Bare), one_fails_in(50), |answer| {
            matches!(answer, Ok(2) | Err(CircuitBreakerError::Inner(_)))
        })
    });
    rows.peer("tower-resilience, 0 to 1000 calls in the window", &[TIME_WINDOW], || {
        let (layer, handle) = CircuitBreakerLayer::builder()
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(HOUR)
            .build_with_handle()
            .expect("valid");
        // Each call goes through all in the window, and so there have to be about as many at any time.
        let request = move |call: u64| {
            if call.is_multiple_of(1000) {
                now(handle.force_open());
                now(handle.reset());
            }
            2
        };
        through(layer.layer(Bare), request, good)
    });
    rows.peer(TOWER_RESILIENCE, &[OPEN], || {
        let (layer, handle) =
            CircuitBreakerLayer::builder().wait_duration_in_open(HOUR).build_with_handle().expect("valid");
        now(handle.force_open());
        now(layer.layer(Bare).oneshot(2)).expect_err("it is open");
        through(layer.layer(Bare), always(2), |answer| matches!(answer, Err(CircuitBreakerError::OpenCircuit)))
    });
}

fn recloser(closed_len: usize) -> Recloser {
    Recloser::custom().closed_len(closed_len).open_wait(HOUR).build()
}

fn consecutive(failures: u32) -> impl CircuitBreaker {
    let policy = failure_policy::consecutive_failures(failures, backoff::constant(HOUR));
    Config::new().failure_policy(policy).build()
}
