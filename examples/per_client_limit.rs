//! So many requests for each client, and so many for all of them together, behind a proxy.
//!
//! Behind a proxy every request has the same peer, and whatever else the request says of its sender anybody can write. So
//! the client's address is what the proxies you name have seen.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use buttress::BoxError;
use buttress::http::ClientIp;
use buttress::rate_limit::{KeyedRateLimiter, Quota, RateLimitConfig, RateLimitLayer};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // The proxies of this example run on the same machine, and add who called them to `X-Forwarded-For`.
    let client_ip = ClientIp::behind(["127.0.0.0/8", "::1"])?
        .peer_of(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()));

    let each = KeyedRateLimiter::new(RateLimitConfig::new(Quota::per_minute(30).burst(3)).name("client"))?;
    let limit = RateLimitLayer::new(RateLimitConfig::new(Quota::per_second(1000)).name("all"))?
        .and_by_key(each.clone(), client_ip.clone())
        .http_server()
        .rate_limit_headers();

    let app = Router::new().route("/", get(async || "hello")).layer(limit);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let proxy = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    let ask = async |forwarded_for: &str| -> Result<reqwest::Response, BoxError> {
        Ok(proxy.get(&url).header("x-forwarded-for", forwarded_for).send().await?)
    };
    for left in ["2", "1", "0;t=2"] {
        let response = ask("203.0.113.9").await?;
        assert_eq!(response.status(), 200);
        println!("203.0.113.9: {} {:?}", response.status(), response.headers()["ratelimit"]);
        assert!(response.headers()["ratelimit"].to_str()?.ends_with(&format!("\"client\";r={left}")));
    }
    // What the client itself has written stands to the left of what the proxy has seen.
    let refused = ask("198.51.100.77, 203.0.113.9").await?;
    println!("203.0.113.9 as 198.51.100.77: {} {:?}", refused.status(), refused.headers()["retry-after"]);
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str()?), (429, "2"));

    let other = ask("198.51.100.77").await?;
    println!("198.51.100.77: {}", other.status());
    assert_eq!(other.status(), 200);
    println!("{} clients are remembered, in {} bytes", each.snapshot().keys, each.snapshot().bytes);
    Ok(())
}
