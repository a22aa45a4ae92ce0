//! A circuit breaker through all its states, in paused time: a minute of a bad day, at once.
//!
//! `cargo run --example circuit_breaker` tells the story, and checks it.

use std::time::Duration;

use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, OpenFor, State, TripReason};
use buttress::clock::Moment;
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Rejection};
use tokio::time::{advance, sleep};
use tower::{ServiceBuilder, ServiceExt, service_fn};

const SEC: Duration = Duration::from_secs(1);

/// How the provider fares.
#[derive(Clone, Copy)]
enum Provider {
    Well,
    Hangs,
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    let start = Moment::now();
    let breaker = CircuitBreakerLayer::new(
        CircuitBreakerConfig::new()
            .name("payments")
            .consecutive_failures(3)
            .open_for(OpenFor::exponential(10 * SEC, 60 * SEC))
            .successes_to_close(2),
    )?;
    let handle = breaker.breaker().clone();

    // A listener has its own queue: it can be as slow as it likes.
    let mut changes = handle.changes();
    let story = tokio::spawn(async move {
        let mut states = vec![State::Closed];
        while let Some(change) = changes.next().await {
            let because = change.reason.map(|reason| format!(", after {reason}")).unwrap_or_default();
            println!("{:>6?}  {} -> {}{because}", change.at.since(start), change.from, change.to);
            states.push(change.to);
        }
        states
    });

    // The timeout inside, so that the breaker sees a hanging call fail.
    let payments = ServiceBuilder::new()
        .layer(breaker)
        .layer(TimeoutLayer::new(TimeoutConfig::new(SEC).name("attempt"))?)
        .service(service_fn(async |provider| {
            if let Provider::Hangs = provider {
                sleep(3600 * SEC).await;
            }
            Ok::<_, BoxError>("paid")
        }));
    let pay = |provider| payments.clone().oneshot(provider);

    assert_eq!(pay(Provider::Well).await?, "paid");
    for _ in 0..3 {
        let error = pay(Provider::Hangs).await.expect_err("it hangs");
        assert!(matches!(Rejection::find(&*error), Some(Rejection::Elapsed(_))));
    }

    // Open: nobody waits for a provider that hangs.
    assert_eq!(handle.state(), State::Open);
    let before = Moment::now();
    let error = pay(Provider::Hangs).await.expect_err("the circuit is open");
    let Some(Rejection::CircuitOpen(open)) = Rejection::find(&*error) else {
        return Err(error);
    };
    assert_eq!((open.reason(), open.retry_after()), (TripReason::ConsecutiveFailures, Some(10 * SEC)));
    assert_eq!(Moment::now(), before, "it was refused at once");

    // Half-open: the first probe hangs, and the circuit is open again, twice as long.
    advance(10 * SEC).await;
    pay(Provider::Hangs).await.expect_err("the probe hangs");
    assert_eq!(handle.snapshot().time_left, Some(20 * SEC));

    // Half-open once more: two good probes close it.
    advance(20 * SEC).await;
    assert_eq!(pay(Provider::Well).await?, "paid");
    assert_eq!(handle.state(), State::HalfOpen);
    assert_eq!(pay(Provider::Well).await?, "paid");
    assert_eq!(handle.state(), State::Closed);

    // The listener hears of the end when the last handle is gone.
    drop((payments, handle));
    let states = story.await?;
    let expected = [State::Closed, State::Open, State::HalfOpen, State::Open, State::HalfOpen, State::Closed];
    assert_eq!(states, expected);
    println!("{:>6?}  done", Moment::now().since(start));
    Ok(())
}
