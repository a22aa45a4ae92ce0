//! How to test a service of your own without waiting: the layers obey tokio's paused time.
//!
//! `cargo test --example paused_time_test` runs the test below; `cargo run --example paused_time_test` does the same and
//! says how much time has passed on the clock.

use std::time::Duration;

use buttress::clock::Moment;
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Rejection};
use tower::{Layer, Service, ServiceExt, service_fn};

/// The service in question: patient, but not for ever.
fn patient() -> impl Service<Duration, Response = &'static str, Error = BoxError> + Clone {
    let layer = TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(3600))).expect("an hour is a limit");
    layer.layer(service_fn(async |takes: Duration| {
        tokio::time::sleep(takes).await;
        Ok("done")
    }))
}

/// Two hours of test in no time.
async fn it_waits_an_hour_and_no_longer() {
    let service = patient();
    let start = Moment::now();
    assert_eq!(service.clone().oneshot(Duration::from_secs(3599)).await.expect("in time"), "done");
    let error = service.oneshot(Duration::from_secs(3601)).await.expect_err("too late");
    assert!(matches!(Rejection::find(&*error), Some(Rejection::Elapsed(_))));
    assert_eq!(Moment::now().since(start), Duration::from_secs(3599 + 3600));
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let start = Moment::now();
    it_waits_an_hour_and_no_longer().await;
    println!("tested {:?} on the clock", Moment::now().since(start));
}

#[cfg(test)]
#[tokio::test(start_paused = true)]
async fn waits_an_hour_and_no_longer() {
    it_waits_an_hour_and_no_longer().await;
}
