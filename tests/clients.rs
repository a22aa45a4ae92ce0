//! The servers and clients that people have, wrapped without glue.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use buttress::fallback::{Failed, FallbackLayer};
use buttress::http::Bridge;
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{Check, Error};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::util::{BoxCloneService, BoxCloneSyncService};
use tower::{Service, ServiceBuilder, ServiceExt};

fn timeout() -> TimeoutLayer {
    TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(5))).expect("a limit above zero")
}

/// The address of a server that answers "hello" as long as the test runs.
async fn hello() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route("/broken", get(async || (StatusCode::BAD_GATEWAY, "broken")));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

#[tokio::test(start_paused = true)]
async fn an_axum_router_has_its_layers_without_error_handling() {
    let slow = async || {
        tokio::time::sleep(Duration::from_secs(60)).await;
        "too late"
    };
    let short = TimeoutLayer::new(TimeoutConfig::new(Duration::from_millis(10))).expect("a limit").http_server();
    let substitute = FallbackLayer::default()
        .http_server()
        .with(|_: Failed<_, _>| Ok(Response::new(axum::body::Body::from("substitute"))));
    let app = Router::new()
        .route("/slow", get(slow).layer(short.clone()))
        .route_layer(timeout().http_server().export_deadline())
        .route("/covered", get(slow).layer(short).layer(substitute.clone()))
        .layer(timeout().http_server())
        .layer(ServiceBuilder::new().layer(timeout().http_server()).layer(substitute));

    let call = |path: &str| {
        let request = Request::get(path).body(axum::body::Body::empty()).expect("a valid request");
        app.clone().oneshot(request)
    };
    let response = call("/covered").await.expect("infallible");
    assert_eq!(response.status(), StatusCode::OK);
    // What the route's own timeout refuses, the fallback around the whole app answers.
    let response = call("/slow").await.expect("infallible");
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "substitute");
}

#[tokio::test]
async fn a_hyper_server_serves_through_the_layers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let service = ServiceBuilder::new()
        .layer(timeout().http_server())
        .layer(FallbackLayer::default().http_server().with(|_: Failed<_, _>| Ok(Response::new(Full::from("later")))))
        .service(tower::service_fn(|_: Request<Incoming>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("hello")))
        }))
        .check::<Request<Incoming>>();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .await
    });
    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let uri = format!("http://{address}/").parse().expect("a valid address");
    let response = client.get(uri).await.expect("an answer");
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "hello");
}

#[tokio::test]
async fn a_hyper_util_client_answers_through_the_layers() {
    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut client = ServiceBuilder::new()
        .layer(FallbackLayer::default().http_client().with(|failed: Failed<_, _>| {
            failed.result.map(|mut response: Response<Incoming>| {
                *response.status_mut() = StatusCode::ACCEPTED;
                response
            })
        }))
        .layer(timeout().http_client())
        .map_err(Error::inner)
        .service(client)
        .check::<Request<Full<Bytes>>>();

    let address = hello().await;
    let get = |path| Request::get(format!("{address}{path}")).body(Full::default()).expect("a valid request");
    let response = client.ready().await.expect("ready").call(get("/")).await.expect("an answer");
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "hello");
    let response = client.ready().await.expect("ready").call(get("/broken")).await.expect("a substitute");
    assert_eq!(response.status(), StatusCode::ACCEPTED);

    let nobody = Request::get("http://127.0.0.1:1/").body(Full::default()).expect("a valid request");
    let error = client.oneshot(nobody).await.expect_err("nobody listens there");
    assert!(matches!(error, Error::Inner(error) if error.is_connect()));
}

#[tokio::test]
async fn a_reqwest_client_answers_through_the_layers() {
    let client = ServiceBuilder::new()
        .layer(timeout())
        .map_err(Error::inner)
        .service(reqwest::Client::new())
        .check::<reqwest::Request>();
    let url = hello().await.parse().expect("a valid address");
    let response = client.oneshot(reqwest::Request::new(reqwest::Method::GET, url)).await.expect("an answer");
    assert_eq!(response.text().await.expect("a body"), "hello");
}

#[tokio::test]
async fn a_reqwest_client_brought_to_the_types_of_http_has_the_presets() {
    let client = ServiceBuilder::new()
        .layer(FallbackLayer::default().http_client().with(|_: Failed<_, _>| Ok(Response::new("substitute".into()))))
        .layer(timeout().http_client())
        .map_err(Error::inner)
        .layer(Bridge::new())
        .service(reqwest::Client::new())
        .check::<Request<String>>();
    let address = hello().await;
    let broken = Request::get(format!("{address}/broken")).body(String::new()).expect("a valid request");
    let response = client.clone().oneshot(broken).await.expect("a substitute");
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "substitute");
    let relative = Request::get("/nowhere").body(String::new()).expect("a valid request");
    assert!(client.oneshot(relative).await.expect("a substitute").extensions().get::<buttress::Degraded>().is_some());
}

#[tokio::test]
async fn a_tonic_channel_is_still_a_channel_for_generated_clients() {
    fn serves_generated_clients<T>(_: &T)
    where
        T: tonic::client::GrpcService<tonic::body::Body> + Clone,
        T::ResponseBody: hyper::body::Body<Data = Bytes> + Send + 'static,
        <T::ResponseBody as hyper::body::Body>::Error: Into<buttress::BoxError>,
    {
    }
    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let channel = ServiceBuilder::new()
        .layer(FallbackLayer::default().http_client().with(|failed: Failed<_, _>| failed.result))
        .layer(timeout().http_client().export_with(buttress::http::DeadlineHeader::grpc_timeout()))
        .map_err(Error::inner)
        .service(channel)
        .check::<Request<tonic::body::Body>>();
    serves_generated_clients(&channel);
}

#[tokio::test(start_paused = true)]
async fn a_job_queue_knows_nothing_of_http() {
    struct Job {
        limit: Duration,
        takes: Duration,
    }
    let worker = ServiceBuilder::new()
        .layer(FallbackLayer::default().value("put back"))
        .layer(timeout().limit_of(|job: &Job| job.limit))
        .service(tower::service_fn(|job: Job| async move {
            tokio::time::sleep(job.takes).await;
            Ok::<_, Error<&str>>("done")
        }))
        .check::<Job>();
    let (short, long) = (Duration::from_millis(5), Duration::from_secs(60));
    let boxed = BoxCloneService::new(worker.clone());
    assert_eq!(boxed.oneshot(Job { limit: short, takes: long }).await, Ok("put back"));
    assert_eq!(BoxCloneSyncService::new(worker).oneshot(Job { limit: long, takes: short }).await, Ok("done"));
}
