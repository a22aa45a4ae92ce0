//! Settings that do not go together are refused, each with both values; and those that just do are not.

use std::error::Error;

use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, TimeWindow};
use buttress::http::{InvalidStack, ServerStackConfig, server_stack};
use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
use buttress::retry::RetryLayer;
use buttress::timeout::{TimeoutConfig, TimeoutLayer};

use super::*;

fn limit(limit: Duration) -> TimeoutConfig {
    TimeoutConfig::new(limit)
}

fn fault(config: ClientStackConfig) -> InvalidStack {
    client_stack(config).expect_err("invalid")
}

#[test]
fn the_defaults_go_together() {
    assert!(client_stack(ClientStackConfig::new()).is_ok());
    assert!(client_stack(ClientStackConfig::default()).is_ok());
    assert!(server_stack(ServerStackConfig::default()).is_ok());
}

#[test]
fn an_attempt_must_be_shorter_than_the_total() {
    let with = |attempt, total| config().without_breaker().attempt(limit(attempt)).total(limit(total));
    let found = fault(with(2 * SEC, 2 * SEC));
    assert_eq!(found, InvalidStack::AttemptTimeout { attempt: 2 * SEC, total: 2 * SEC });
    assert_eq!(
        fault(with(3 * SEC, 2 * SEC)).to_string(),
        "the stack cannot work: the attempt timeout must be shorter than the total timeout of 2s, and is 3s"
    );
    assert!(client_stack(with(2 * SEC - MS, 2 * SEC)).is_ok());
    assert_eq!(
        fault(config().total(limit(SEC))).to_string(),
        "the stack cannot work: the attempt timeout must be shorter than the total timeout of 1s, and is 10s, as it is where \
         none is set"
    );
}

#[test]
fn the_waits_must_fit_into_the_total() {
    let with = |total| config().attempt(limit(100 * MS)).total(limit(total));
    let found = fault(with(299 * MS));
    assert_eq!(found, InvalidStack::Backoffs { backoffs: 300 * MS, total: 299 * MS });
    assert_eq!(
        found.to_string(),
        "the stack cannot work: the backoffs of the retry must together be no longer than the total timeout of 299ms, and \
         can be 300ms"
    );
    assert!(client_stack(with(300 * MS)).is_ok());
}

#[test]
fn a_time_window_must_hold_two_attempts_that_hang() {
    let with = |window| {
        let breaker = CircuitBreakerConfig::new().time_window(TimeWindow::new(window));
        config().attempt(limit(5 * SEC)).breaker(breaker)
    };
    let found = fault(with(10 * SEC - MS));
    assert_eq!(found, InvalidStack::TimeWindow { window: 10 * SEC - MS, attempt: 5 * SEC });
    assert_eq!(
        found.to_string(),
        "the stack cannot work: the time_window of the circuit breaker must be at least twice the attempt timeout of 5s, \
         and is 9.999s"
    );
    assert!(client_stack(with(10 * SEC)).is_ok());
    let counts_calls = CircuitBreakerConfig::new().consecutive_failures(5);
    assert!(client_stack(config().breaker(counts_calls)).is_ok(), "it has no window of time");
}

#[test]
fn a_probe_must_have_as_long_as_an_attempt() {
    let breaker = || CircuitBreakerConfig::new().consecutive_failures(5);
    let found = fault(config().breaker(breaker().probe_lease(10 * SEC - MS)));
    assert_eq!(found, InvalidStack::ProbeLease { lease: 10 * SEC - MS, attempt: 10 * SEC });
    assert_eq!(
        found.to_string(),
        "the stack cannot work: the probe_lease of the circuit breaker must be no shorter than the attempt timeout of 10s, \
         and is 9.999s"
    );
    assert!(client_stack(config().breaker(breaker().probe_lease(10 * SEC))).is_ok());
    let long = config().total(limit(60 * SEC)).attempt(limit(31 * SEC)).breaker(breaker());
    assert_eq!(fault(long), InvalidStack::ProbeLease { lease: 30 * SEC, attempt: 31 * SEC }, "the default counts too");
    let window = TimeWindow::new(30 * SEC).slow_rate(0.9);
    let slow = CircuitBreakerConfig::new().time_window(window).slow_call_threshold(SEC);
    assert!(client_stack(config().breaker(slow)).is_ok(), "a probe that is slow has failed");
}

#[test]
fn what_is_left_out_breaks_no_rule() {
    let all_wrong = || {
        let breaker = CircuitBreakerConfig::new().time_window(TimeWindow::new(SEC)).probe_lease(MS);
        config().total(limit(200 * MS)).attempt(limit(SEC)).breaker(breaker)
    };
    assert!(client_stack(all_wrong()).is_err());
    assert!(client_stack(all_wrong().without_attempt()).is_err(), "the waits are too long still");
    assert!(client_stack(all_wrong().without_attempt().without_retry()).is_ok());
    assert!(client_stack(all_wrong().without_total()).is_err(), "the window is too short still");
    assert!(client_stack(all_wrong().without_total().without_breaker()).is_ok());
}

#[test]
fn a_timeout_without_limit_is_none() {
    let breaker = CircuitBreakerConfig::new().time_window(TimeWindow::new(SEC));
    let unlimited = || limit(Duration::MAX);
    assert!(client_stack(config().attempt(unlimited()).breaker(breaker.clone())).is_ok());
    assert!(client_stack(config().total(unlimited()).attempt(limit(500 * MS)).breaker(breaker)).is_ok());
}

#[test]
fn what_a_part_cannot_work_with_is_told_by_the_part() {
    let check = |found: InvalidStack, expected: &dyn Error| {
        assert_eq!(found.to_string(), expected.to_string());
        assert!(found.source().is_none(), "whoever prints the chain reads it once");
    };
    let zero = limit(Duration::ZERO);
    let expected = TimeoutLayer::new(zero.clone().name("total")).expect_err("invalid");
    check(fault(config().total(zero.clone())), &expected);
    let expected = TimeoutLayer::new(zero.clone().name("attempt")).expect_err("invalid");
    check(fault(config().attempt(zero.clone())), &expected);
    let expected = TimeoutLayer::new(zero.clone().name("mine")).expect_err("invalid");
    check(fault(config().attempt(zero.clone().name("mine"))), &expected);
    let expected = RetryLayer::new(retry().max_attempts(0)).expect_err("invalid");
    check(fault(config().retry(retry().max_attempts(0))), &expected);
    let breaker = CircuitBreakerConfig::new().consecutive_failures(0);
    let expected = CircuitBreakerLayer::new(breaker.clone()).expect_err("invalid");
    check(fault(config().breaker(breaker)), &expected);

    let fault = |config| server_stack(config).expect_err("invalid");
    let expected = TimeoutLayer::new(zero.clone().name("door")).expect_err("invalid");
    check(fault(ServerStackConfig::new().door(zero)), &expected);
    let nothing = RateLimitConfig::new(Quota::per_second(0));
    let expected = RateLimitLayer::new(nothing.clone()).expect_err("invalid");
    check(fault(ServerStackConfig::new().rate_limit(nothing)), &expected);
}
