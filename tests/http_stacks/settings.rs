//! Settings from files.
#![cfg(feature = "serde")]

use buttress::circuit_breaker::CircuitBreakerConfig;
use buttress::http::{InvalidStack, ServerStackConfig};
use buttress::rate_limit::{Quota, RateLimitConfig};
use buttress::timeout::TimeoutConfig;

use super::*;

#[test]
fn a_client_stack_is_read_under_the_same_checks() {
    let read = |text| serde_json::from_str::<ClientStackConfig>(text);
    assert_eq!(read("{}").expect("all have defaults"), ClientStackConfig::new());
    let empty = read(r#"{ "retry": {}, "breaker": {} }"#).expect("all have defaults");
    assert_eq!(empty, ClientStackConfig::new(), "to name a part changes nothing");
    let all = r#"{
        "total": { "limit": "2s", "name": "checkout" },
        "retry": { "max_attempts": 2 },
        "breaker": { "consecutive_failures": 5 },
        "attempt": { "limit": "800ms" }
    }"#;
    let expected = ClientStackConfig::new()
        .total(TimeoutConfig::new(2 * SEC).name("checkout"))
        .retry(RetryConfig::new().max_attempts(2))
        .breaker(CircuitBreakerConfig::new().consecutive_failures(5))
        .attempt(TimeoutConfig::new(800 * MS));
    assert_eq!(read(all).expect("valid"), expected);
    let none = read(r#"{ "total": null, "retry": null, "breaker": null, "attempt": null }"#).expect("valid");
    let expected = ClientStackConfig::new().without_total().without_retry().without_breaker().without_attempt();
    assert_eq!(none, expected);
    let unknown = read(r#"{"timeout": {"limit": "1s"}}"#).expect_err("no such part").to_string();
    assert!(unknown.contains("unknown field `timeout`"), "{unknown}");
    let within = read(r#"{"attempt": {"limit": "1s", "limits": "1s"}}"#).expect_err("no such setting").to_string();
    assert!(within.contains("unknown field `limits`"), "{within}");
    let wrong = read(r#"{ "attempt": { "limit": "40s" } }"#).expect("a duration");
    let wrong = client_stack(wrong).expect_err("longer than the default total");
    assert_eq!(wrong, InvalidStack::AttemptTimeout { attempt: 40 * SEC, total: 30 * SEC });
}

#[test]
fn a_server_stack_is_read_too() {
    let read = |text| serde_json::from_str::<ServerStackConfig>(text);
    assert_eq!(read("{}").expect("all have defaults"), ServerStackConfig::new());
    let all = r#"{
        "rate_limit": { "quota": { "amount": 1000, "per": "1s" } },
        "inbound_attempts": false,
        "door": { "limit": "5s" }
    }"#;
    let expected = ServerStackConfig::new()
        .rate_limit(RateLimitConfig::new(Quota::per_second(1000)))
        .without_inbound_attempts()
        .door(TimeoutConfig::new(5 * SEC));
    assert_eq!(read(all).expect("valid"), expected);
    assert_eq!(read(r#"{"door": null}"#).expect("valid"), ServerStackConfig::new().without_door());
    assert!(read(r#"{"limit": null}"#).is_err());
}
