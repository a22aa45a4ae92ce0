//! A job queue: the same layers, and no HTTP anywhere.
//!
//! Each job brings its own limit; one that does not end in time goes back into the queue.

use std::collections::VecDeque;
use std::time::Duration;

use buttress::fallback::{Failed, FallbackConfig, FallbackLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Check, FailureKind};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[derive(Clone, Debug)]
struct Job {
    name: &'static str,
    takes: Duration,
    limit: Duration,
}

enum Done {
    Finished,
    Later(Job),
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let worker = ServiceBuilder::new()
        .layer(
            FallbackLayer::new(FallbackConfig::new().name("put back").on([FailureKind::TimedOut]))?
                .summary(Job::clone)
                .with(|failed: Failed<_, _, Job>| Ok(Done::Later(failed.summary))),
        )
        .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1)))?.limit_of(|job: &Job| job.limit))
        .service(service_fn(async |job: Job| {
            tokio::time::sleep(job.takes).await;
            Ok::<_, BoxError>(Done::Finished)
        }))
        .check::<Job>();

    let ms = Duration::from_millis;
    let mut queue = VecDeque::from([
        Job { name: "resize a picture", takes: ms(10), limit: ms(1000) },
        Job { name: "build a report", takes: ms(150), limit: ms(50) },
    ]);
    let mut put_back = 0;
    while let Some(job) = queue.pop_front() {
        let name = job.name;
        match worker.clone().oneshot(job).await? {
            Done::Finished => println!("{name}: finished"),
            Done::Later(mut job) => {
                job.limit *= 4;
                println!("{name}: put back, with {:?} next time", job.limit);
                put_back += 1;
                queue.push_back(job);
            }
        }
    }
    assert_eq!(put_back, 1);
    Ok(())
}
