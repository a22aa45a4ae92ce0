//! A plain hyper server behind the layers: one stack, cloned for each connection.

use std::convert::Infallible;
use std::time::Duration;

use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Check};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/slow" {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    Ok(Response::new(Full::from("hello")))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let door = TimeoutLayer::new(TimeoutConfig::new(Duration::from_millis(200)).name("door"))?;
    let service =
        ServiceBuilder::new().layer(door.http_server()).service(service_fn(answer)).check::<Request<Incoming>>();

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });

    for (path, expected) in [("/", 200), ("/slow", 504)] {
        let response = reqwest::get(format!("http://{address}{path}")).await?;
        let status = response.status();
        println!("{path}: {status}, {}", response.text().await?);
        assert_eq!(status, expected);
    }
    Ok(())
}
