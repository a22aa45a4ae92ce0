//! Retries that help and retries that would not, in paused time: a minute of a bad network, at once.
//!
//! `cargo run --example retry` tells the story, and checks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use buttress::clock::Moment;
use buttress::deadline::InScope;
use buttress::retry::{Backoff, RetryConfig, RetryLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{Attempt, BoxError, Rejection};
use tokio::time::sleep;
use tower::{ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// What is asked of the inventory.
#[derive(Clone)]
struct Lookup {
    /// How many attempts fail before one succeeds.
    failures: u32,
    /// How long each takes.
    takes: Duration,
    attempt: u32,
}

fn lookup(failures: u32, takes: Duration) -> Lookup {
    Lookup { failures, takes, attempt: 1 }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    let calls = Arc::new(AtomicU32::new(0));
    let inventory = {
        let calls = calls.clone();
        service_fn(move |lookup: Lookup| {
            calls.fetch_add(1, Ordering::Relaxed);
            async move {
                sleep(lookup.takes).await;
                if lookup.attempt > lookup.failures { Ok(12) } else { Err(BoxError::from("connection reset")) }
            }
        })
    };

    let backoff = Backoff::exponential(100 * MS, 2 * SEC);
    let retry = RetryLayer::new(RetryConfig::new().name("inventory").max_attempts(4).backoff(backoff).seed(7))?
        .on_attempt(|lookup: &mut Lookup, attempt: Attempt| lookup.attempt = attempt.number())
        .deadline_of(InScope);
    let budget = retry.budget().cloned().ok_or("a budget is there by default")?;

    // The whole may take 2 s, each attempt 500 ms, and the retry knows of both.
    let stock = ServiceBuilder::new()
        .layer(TimeoutLayer::new(TimeoutConfig::new(2 * SEC).name("total"))?.export_with(InScope))
        .layer(retry)
        .layer(TimeoutLayer::new(TimeoutConfig::new(500 * MS).name("attempt"))?.deadline_of(InScope))
        .service(inventory);
    let look = async |lookup: Lookup| {
        let (start, before) = (Moment::now(), calls.load(Ordering::Relaxed));
        let answer = stock.clone().oneshot(lookup).await;
        (answer, calls.load(Ordering::Relaxed) - before, Moment::now().since(start))
    };

    let (answer, attempts, took) = look(lookup(2, 5 * MS)).await;
    println!("shaky      {} in stock, after {attempts} attempts and {took:.0?}", answer?);
    assert_eq!(attempts, 3);

    // Each attempt is cut short; a wait that does not fit into the two seconds is not begun.
    let (answer, attempts, took) = look(lookup(9, 60 * SEC)).await;
    let error = answer.expect_err("it hangs");
    println!("hanging    {error}, after {attempts} attempts and {took:.0?}");
    assert!(attempts > 1 && took <= 2 * SEC);
    let Some(Rejection::Elapsed(elapsed)) = Rejection::find(&*error) else {
        return Err(error);
    };
    assert_eq!(elapsed.name().as_str(), "attempt", "the last real outcome");

    // An outage. Retries are paid for: at first they help nobody, and then there are next to none.
    let (before, many) = (calls.load(Ordering::Relaxed), 10_000);
    for _ in 0..many {
        look(lookup(9, MS)).await.0.expect_err("down");
    }
    let retries = calls.load(Ordering::Relaxed) - before - many;
    println!("outage     {many} lookups, {retries} retries, {:.0} tokens left", budget.available());
    assert!(retries < many / 20);

    // Well again: good calls pay in, and so does time.
    for _ in 0..300 {
        look(lookup(0, MS)).await.0?;
    }
    println!("recovery   {:.0} tokens", budget.available());
    assert!(budget.available() >= 60.0);
    Ok(())
}
