use std::time::Duration;

use buttress::Rejection;
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, LastCalls, OpenFor, TimeWindow};
use tower::Layer;

use super::{BARE, HOUR, Rows, failed, good};
use crate::calls::{always, through};
use crate::inner::{Answer, Bare, Failed};

const ONE_IN_FIFTY: &str = "bare, one in 50 fails";
const ONE_IN_2000: &str = "bare, one in 2000 fails";

fn layer(config: CircuitBreakerConfig) -> CircuitBreakerLayer {
    CircuitBreakerLayer::new(config).expect("valid")
}

pub(super) fn last_calls(calls: u32) -> CircuitBreakerLayer {
    layer(CircuitBreakerConfig::new().last_calls(LastCalls::new(calls)))
}

pub(super) fn time_window() -> CircuitBreakerLayer {
    layer(CircuitBreakerConfig::new().time_window(TimeWindow::new(Duration::from_secs(10))))
}

pub(super) fn add(rows: &mut Rows) {
    let new = CircuitBreakerConfig::new;
    rows.ours("circuit breaker, consecutive failures", BARE, move || {
        through(layer(new()).layer(Bare), always(2), good)
    });
    rows.ours("circuit breaker, last calls", BARE, || through(last_calls(100).layer(Bare), always(2), good));
    rows.bare(ONE_IN_FIFTY, || through(Bare, one_fails_in(50), reached));
    rows.ours("circuit breaker, last calls, one in 50 fails", ONE_IN_FIFTY, || {
        through(last_calls(100).layer(Bare), one_fails_in(50), reached)
    });
    // One failure is among the last calls all the time, and hardly ever is one recorded.
    rows.bare(ONE_IN_2000, || through(Bare, one_fails_in(2000), reached));
    rows.ours("circuit breaker, last calls, one of 2000 failed", ONE_IN_2000, || {
        through(last_calls(2000).layer(Bare), one_fails_in(2000), reached)
    });
    rows.ours("circuit breaker, last calls, all failed", BARE, move || {
        let counts_each = layer(new().consecutive_failures(2).last_calls(LastCalls::new(100)));
        counts_each.breaker().force_closed();
        through(counts_each.layer(Bare), always(1), failed)
    });
    rows.ours("circuit breaker, time window", BARE, || through(time_window().layer(Bare), always(2), good));
    rows.ours("circuit breaker, slow calls", BARE, move || {
        let rule = LastCalls::new(100).slow_rate(0.5);
        through(layer(new().last_calls(rule).slow_call_threshold(HOUR)).layer(Bare), always(2), good)
    });
    rows.ours("circuit breaker, by key", BARE, move || {
        let by_key = CircuitBreakerLayer::by_key(new(), |number: &u64| Some(*number)).expect("valid");
        through(by_key.layer(Bare), always(2), good)
    });
    rows.ours("circuit breaker, open", BARE, move || {
        let open = layer(new().consecutive_failures(1).open_for(OpenFor::fixed(HOUR)));
        open.breaker().try_acquire().expect("closed").failure();
        through(open.layer(Bare), always(2), refused)
    });
    rows.ours("circuit breaker, forced open", BARE, move || {
        let forced_open = layer(new());
        forced_open.breaker().force_open();
        through(forced_open.layer(Bare), always(2), refused)
    });
}

pub(super) fn one_fails_in(calls: u64) -> impl Fn(u64) -> u64 {
    move |call| if call.is_multiple_of(calls) { 1 } else { 2 }
}

fn reached(answer: &Answer) -> bool {
    matches!(answer, Ok(2) | Err(Failed::Inner(_)))
}

fn refused(answer: &Answer) -> bool {
    matches!(answer, Err(Failed::Rejected(Rejection::CircuitOpen(_))))
}
