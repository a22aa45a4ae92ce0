use std::num::NonZeroU32;
use std::time::Duration;

use governor::{Quota, RateLimiter};
use tower::limit::RateLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::load_shed::error::Overloaded;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_resilience_ratelimiter::{RateLimiterLayer, RateLimiterServiceError};

use super::super::limiter::one_of_keys;
use super::super::{HOUR, Rows};
use super::{TOWER, TOWER_RESILIENCE, good};
use crate::calls::{always, now, of, through};
use crate::inner::{Bare, answer};

const ADMITTED: &str = "rate limit";
const REFUSED: &str = "rate limit, refused";

const GOVERNOR: &str = "governor";

/// For as long as it runs.
pub(super) const fn tower() -> RateLimitLayer {
    RateLimitLayer::new(u64::MAX, HOUR)
}

pub(super) fn resilience() -> RateLimiterLayer {
    RateLimiterLayer::builder().limit_for_period(usize::MAX / 2).refresh_period(HOUR).build().expect("valid")
}

pub(super) fn add(rows: &mut Rows) {
    rows.peer(GOVERNOR, &[ADMITTED], || {
        let limiter = RateLimiter::direct(plenty());
        of(move |number| limiter.check().map(|()| answer(number)), always(2), |answer| matches!(answer, Ok(Ok(2))))
    });
    rows.peer(GOVERNOR, &[REFUSED], || {
        let limiter = RateLimiter::direct(one_an_hour());
        limiter.check().expect("the first");
        of(move |number| limiter.check().map(|()| answer(number)), always(2), Result::is_err)
    });
    rows.peer(GOVERNOR, &["rate limit, by key, 10 000 keys"], || {
        let limiter = RateLimiter::keyed(plenty());
        (0..10_000).for_each(|key: u64| limiter.check_key(&key).expect("plenty"));
        let check = move |number| limiter.check_key(&number).map(|()| answer(number));
        of(check, one_of_keys, |answer| matches!(answer, Ok(Ok(_))))
    });
    rows.peer(GOVERNOR, &["rate limit, by key, refused"], || {
        let limiter = RateLimiter::keyed(one_an_hour());
        (0..10_000).for_each(|key: u64| limiter.check_key(&key).expect("the first"));
        of(move |number| limiter.check_key(&number).map(|()| answer(number)), one_of_keys, Result::is_err)
    });
    rows.peer(TOWER, &[ADMITTED], || through(tower().layer(Bare), always(2), good));
    rows.peer("tower, with LoadShed", &[REFUSED], || {
        let layers = ServiceBuilder::new().layer(LoadShedLayer::new()).layer(RateLimitLayer::new(1, HOUR));
        let mut service = layers.service(Bare);
        now(async { service.ready().await.expect("ready").call(2).await }).expect("the first");
        through(service, always(2), |answer| answer.as_ref().is_err_and(|error| error.is::<Overloaded>()))
    });
    rows.peer(TOWER_RESILIENCE, &[ADMITTED], || through(resilience().layer(Bare), always(2), good));
    rows.peer(TOWER_RESILIENCE, &[REFUSED], || {
        let builder = RateLimiterLayer::builder().limit_for_period(1).refresh_period(HOUR);
        let layer = builder.timeout_duration(Duration::ZERO).build().expect("valid");
        // Each service that the layer makes has a limit of its own.
        let mut service = layer.layer(Bare);
        now(async { service.ready().await.expect("ready").call(2).await }).expect("the first");
        through(service, always(2), |answer| matches!(answer, Err(RateLimiterServiceError::RateLimited)))
    });
}

fn plenty() -> Quota {
    Quota::per_second(NonZeroU32::new(1_000_000).expect("not zero")).allow_burst(NonZeroU32::MAX)
}

fn one_an_hour() -> Quota {
    Quota::per_hour(NonZeroU32::MIN)
}
