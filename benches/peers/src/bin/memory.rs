//! Prints how many bytes a million keys take, for each. `benches/report/machine.py` runs it.
//!
//! A program of its own, since whoever counts allocations slows down what else there is.

use buttress::rate_limit::{KeyedConfig, KeyedRateLimiter, Quota, RateLimitConfig};

const KEYS: u32 = 1_000_000;

/// A table that may have no more than that turns the last few away.
const MOST: usize = 1_100_000;

/// Prints what is still allocated when all keys came once.
fn row<L>(name: &str, limiter: impl Fn() -> L, pass: impl Fn(&L, u32)) {
    let mut kept = None;
    let memory = allocation_counter::measure(|| {
        let limiter = limiter();
        (0..KEYS).for_each(|key| pass(&limiter, key));
        kept = Some(limiter);
    });
    drop(kept);
    println!("{name}\t{}", memory.bytes_current as f64 / f64::from(KEYS));
}

/// Of 36 bytes, as a UUID is written.
fn text(key: u32) -> String {
    format!("{key:036}")
}

fn main() {
    // A key takes a place as long as it owes something.
    let each = RateLimitConfig::new(Quota::per_hour(1).burst(10));
    let config = || KeyedConfig::new(each.clone()).max_keys(MOST);
    let numbers = || KeyedRateLimiter::<u64>::new(config()).expect("valid");
    row("buttress, u64", numbers, |limiter, key| limiter.try_take(&u64::from(key), 1).expect("a first call"));
    let texts = || KeyedRateLimiter::<String>::new(config()).expect("valid");
    row("buttress, String of 36", texts, |limiter, key| limiter.try_take(&text(key), 1).expect("a first call"));
    #[cfg(feature = "peers")]
    peers();
}

#[cfg(feature = "peers")]
fn peers() {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;

    use governor::{Quota, RateLimiter};

    let quota = Quota::per_hour(NonZeroU32::MIN);
    row(
        "governor, u64",
        || RateLimiter::keyed(quota),
        |limiter, key| limiter.check_key(&u64::from(key)).expect("a first call"),
    );
    row(
        "governor, IpAddr",
        || RateLimiter::keyed(quota),
        |limiter, key| limiter.check_key(&IpAddr::V4(Ipv4Addr::from_bits(key))).expect("a first call"),
    );
    row(
        "governor, String of 36",
        || RateLimiter::keyed(quota),
        |limiter, key| limiter.check_key(&text(key)).expect("a first call"),
    );
}
