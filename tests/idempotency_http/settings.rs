//! Settings from files.
#![cfg(feature = "serde")]

use std::num::NonZeroU32;
use std::time::Duration;

use buttress::idempotency::{InvalidIdempotency, Wait, WhenUnavailable};

use super::*;

const SEC: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

#[test]
fn settings_are_read_from_a_file_and_what_is_left_out_has_its_default() {
    let read = |text| serde_json::from_str::<IdempotencyConfig>(text);
    assert_eq!(read("{}").expect("valid"), IdempotencyConfig::new());
    let whole = r#"{
        "name": "orders",
        "lease": "10s",
        "retention": "7d",
        "longest_run": "1m 30s",
        "store_timeout": "250ms",
        "max_running": 50,
        "max_attempts": 1,
        "when_unavailable": "run",
        "wait": { "longest": "2s", "for_each_key": 3, "in_all": 7 }
    }"#;
    let expected = IdempotencyConfig::new()
        .name("orders")
        .lease(10 * SEC)
        .retention(7 * 24 * 60 * 60 * SEC)
        .longest_run(90 * SEC)
        .store_timeout(250 * MS)
        .max_running(50)
        .max_attempts(NonZeroU32::MIN)
        .when_unavailable(WhenUnavailable::Run)
        .wait(Wait::up_to(2 * SEC).for_each_key(3).in_all(7));
    assert_eq!(read(whole).expect("valid"), expected);
    assert_eq!(read(r#"{ "wait": null }"#).expect("valid"), IdempotencyConfig::new(), "nobody waits");
    let waits = IdempotencyConfig::new().wait(Wait::default());
    assert_eq!(read(r#"{ "wait": {} }"#).expect("valid"), waits, "all of it has defaults");
}

#[test]
fn what_is_no_setting_or_no_value_of_it_is_refused_and_named() {
    let error = |text| serde_json::from_str::<IdempotencyConfig>(text).expect_err(text).to_string();
    for (wrong, named) in [
        (r#"{ "ttl": "1d" }"#, "unknown field `ttl`"),
        (r#"{ "wait": { "limit": "1s" } }"#, "unknown field `limit`"),
        (r#"{ "lease": "soon" }"#, "`soon` is not a duration such as \"250ms\""),
        (r#"{ "lease": 30 }"#, "expected a string"),
        (r#"{ "wait": { "longest": 5 } }"#, "expected a string"),
        (r#"{ "max_attempts": 0 }"#, "nonzero"),
        (r#"{ "when_unavailable": "ignore" }"#, "unknown variant `ignore`"),
    ] {
        assert!(error(wrong).contains(named), "{wrong}: {}", error(wrong));
    }
    let short = serde_json::from_str::<IdempotencyConfig>(r#"{ "lease": "1ms" }"#).expect("a duration");
    let invalid = IdempotencyLayer::new(short, store()).expect_err("it is checked as any other");
    assert_eq!(invalid, InvalidIdempotency::LeaseTooShort("idempotency".into(), MS));
}
