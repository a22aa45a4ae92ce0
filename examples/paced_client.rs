//! A leaky bucket before a client: a mail provider that takes 20 mails a second gets them at an even pace.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use buttress::clock::Moment;
use buttress::rate_limit::{LimitReason, Quota, RateLimitConfig, RateLimitLayer};
use buttress::{BoxError, Check, Error, Rejection};
use futures::future::join_all;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

const PACE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let taken = Arc::new(AtomicUsize::new(0));
    let address = mail_provider(taken.clone()).await?;
    let left: Arc<Mutex<Vec<(String, Moment)>>> = Arc::default();
    let mailbag = left.clone();

    // One leaves every 50 ms, and ten may wait for it.
    let config = RateLimitConfig::leaky(Quota::per_second(20), 10).name("mails");
    let client = ServiceBuilder::new()
        .layer(RateLimitLayer::new(config)?.wait().http_client())
        .map_err(Error::inner)
        .map_request(move |mail: Request<String>| {
            mailbag.lock().expect("nobody panicked").push((mail.body().clone(), Moment::now()));
            mail
        })
        .service(Client::builder(TokioExecutor::new()).build_http::<String>())
        .check::<Request<String>>();

    let start = Moment::now();
    let mails = (0..12).map(|number| {
        let (client, left, uri) = (client.clone(), left.clone(), address.clone());
        async move {
            let mail = Request::post(uri).body(number.to_string()).expect("a plain request");
            match client.oneshot(mail).await {
                Ok(response) => assert_eq!(response.status(), StatusCode::ACCEPTED),
                Err(Error::Rejected(Rejection::RateLimited(limited))) => {
                    println!("mail {number} is refused at once: {limited}");
                    assert_eq!((number, limited.reason()), (11, LimitReason::LineFull));
                    assert!(limited.retry_after().is_some_and(|wait| wait <= 11 * PACE), "its turn after ten others");
                    assert_eq!(left.lock().expect("nobody panicked").len(), 1, "those before it still wait");
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    join_all(mails).await;

    assert_eq!(taken.load(Ordering::Relaxed), 11);
    for (turn, (number, at)) in (0..).zip(left.lock().expect("nobody panicked").iter()) {
        let after = at.since(start);
        println!("mail {number:>2} left after {:>3} ms", after.as_millis());
        assert_eq!(*number, turn.to_string(), "first come, first served");
        assert!(after >= turn * PACE, "none before its turn");
    }
    Ok(())
}

async fn mail_provider(taken: Arc<AtomicUsize>) -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let take = async move || {
        taken.fetch_add(1, Ordering::Relaxed);
        StatusCode::ACCEPTED
    };
    let app = Router::new().route("/mails", post(take));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}/mails"))
}
