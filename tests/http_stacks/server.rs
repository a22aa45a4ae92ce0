//! What the parts of a server stack do.

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::routing::{get, post};
use buttress::http::{
    IdempotencyKeys, InboundAttempts, ServerStack, ServerStackConfig, ServiceBuilderExt, server_stack,
};
use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer, MemoryStore};
use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{Attempt, Check, Deadline};
use tower::layer::util::Identity;
use tower::{Layer, ServiceBuilder, ServiceExt};

use super::*;

fn stack(config: ServerStackConfig) -> ServerStack {
    server_stack(config).expect("valid")
}

fn at(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("valid")
}

async fn text(app: &Router, path: &str) -> (StatusCode, String) {
    let answer = app.clone().oneshot(at(path)).await.expect("infallible");
    let (head, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, 10_000).await.expect("a body");
    (head.status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test(start_paused = true)]
async fn an_axum_router_and_its_routes_take_it_without_error_handling() {
    let two = RateLimitConfig::new(Quota::per_hour(2));
    let left = async || format!("{:?}", Deadline::current().map(Deadline::left));
    let slow = async || std::future::pending::<()>().await;
    let app = Router::new()
        .route("/", axum::routing::get(left))
        .route("/slow", axum::routing::get(slow).layer(stack(ServerStackConfig::new().door(TimeoutConfig::new(SEC)))))
        .route_layer(stack(ServerStackConfig::new()))
        .layer(stack(ServerStackConfig::new().rate_limit(two).door(TimeoutConfig::new(20 * SEC))));
    assert_eq!(text(&app, "/").await, (StatusCode::OK, "Some(20s)".to_owned()));
    assert_eq!(text(&app, "/slow").await.0, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(text(&app, "/").await.0, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_hyper_server_serves_through_it() {
    use http_body_util::{BodyExt, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper_util::rt::TokioIo;
    use hyper_util::service::TowerToHyperService;

    let service = ServiceBuilder::new()
        .server_stack(stack(ServerStackConfig::new()))
        .service(service_fn(async |_: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("{:?}", Attempt::current()))))
        }))
        .check::<Request<Incoming>>();
    let (client, server) = tokio::io::duplex(10_000);
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(server), TowerToHyperService::new(service));
    tokio::spawn(served);
    let (mut client, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(client)).await.expect("a connection");
    tokio::spawn(connection);
    let third = Request::get("/").header("x-envoy-attempt-count", "3").body(Full::default()).expect("valid");
    let answer = client.send_request(third).await.expect("an answer").into_body().collect().await.expect("a body");
    assert_eq!(answer.to_bytes(), "Some(Attempt(3))");
}

#[tokio::test(start_paused = true)]
async fn each_part_can_be_left_out_or_replaced() {
    let app = |stack: ServerStack| {
        let handler = async || format!("{:?} {:?}", Deadline::current().map(Deadline::left), Attempt::current());
        Router::new().route("/", get(handler)).layer(stack)
    };
    let answer = async |config| text(&app(stack(config)), "/").await.1;
    assert_eq!(answer(ServerStackConfig::new()).await, "Some(30s) Some(Attempt(1))");
    assert_eq!(answer(ServerStackConfig::new().without_door()).await, "None Some(Attempt(1))");
    assert_eq!(answer(ServerStackConfig::new().without_inbound_attempts()).await, "Some(30s) None");
    assert!(stack(ServerStackConfig::new()).limits().is_none());
    let limited = stack(ServerStackConfig::new().rate_limit(RateLimitConfig::new(Quota::per_hour(1))));
    assert!(limited.limits().is_some());

    let handler = async || format!("{:?}", Attempt::current());
    let replaced = stack(ServerStackConfig::new())
        .rate_limit(Identity::new())
        .inbound_attempts(InboundAttempts::reading(buttress::http::AttemptHeader::grpc()))
        .door(Identity::new());
    let app = Router::new().route("/", get(handler)).layer(replaced);
    let mut second = at("/");
    second.headers_mut().insert("grpc-previous-rpc-attempts", "1".parse().expect("valid"));
    let answer = app.oneshot(second).await.expect("infallible");
    let body = axum::body::to_bytes(answer.into_body(), 10_000).await.expect("a body");
    assert_eq!(body, "Some(Attempt(2))");
}

#[tokio::test(start_paused = true)]
async fn a_part_keeps_its_settings_when_it_is_told_more() {
    let one = RateLimitConfig::new(Quota::per_hour(1));
    let told = stack(ServerStackConfig::new().rate_limit(one))
        .rate_limit_with(RateLimitLayer::rate_limit_headers)
        .door_with(TimeoutLayer::export_deadline);
    let handler = |request: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(
            request.extensions().get::<Deadline>().map(|deadline| deadline.left()),
        )))
    };
    let body = |response: Response<Option<Duration>>| response.map(|left| bytes_of(left == Some(30 * SEC)));
    let server = told.layer(service_fn(handler).map_response(body));
    let answer = server.clone().oneshot(super::get()).await.expect("infallible");
    assert!(answer.headers().contains_key("ratelimit"));
    assert_eq!(answer.into_body(), bytes_of(true));
    assert_eq!(server.oneshot(super::get()).await.expect("infallible").status(), StatusCode::TOO_MANY_REQUESTS);
}

fn bytes_of(yes: bool) -> hyper::body::Bytes {
    hyper::body::Bytes::from_static(if yes { b"yes" } else { b"no" })
}

#[tokio::test(start_paused = true)]
async fn what_the_door_answers_is_marked_too_if_retries_were_given_up() {
    let calls = Calls::default();
    let client = client_stack(config()).expect("valid").layer(backend(&calls, |_| response(500)));
    let marked = async |asks: bool| {
        let client = client.clone();
        let handler = service_fn(move |_: Request<()>| {
            let client = client.clone();
            async move {
                if asks {
                    client.oneshot(Request::new(())).await.expect("an answer");
                }
                std::future::pending::<Result<Response<Bytes>, Infallible>>().await
            }
        });
        let door = ServerStackConfig::new().door(TimeoutConfig::new(SEC));
        let answer = stack(door).layer(handler).oneshot(Request::new(())).await.expect("infallible");
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        answer.headers().contains_key("x-should-retry")
    };
    assert!(marked(true).await);
    assert!(!marked(false).await, "nothing was retried");
}

#[tokio::test(start_paused = true)]
async fn whoever_was_told_too_late_by_the_door_asks_again_and_gets_the_answer() {
    let keys = IdempotencyKeys::new().scope(|_: &Parts| Some(("shop", "order.create")));
    let store = MemoryStore::new(std::num::NonZeroUsize::MIN);
    let once = IdempotencyLayer::new(IdempotencyConfig::new(), store).expect("valid").http_server(keys, Body::new);
    let order = async || {
        assert_eq!(Deadline::current(), None, "what was begun is done, however long somebody waits for it");
        tokio::time::sleep(3 * SEC).await;
        (StatusCode::CREATED, "order 1")
    };
    let config = ServerStackConfig::new().door(TimeoutConfig::new(SEC));
    let app = Router::new().route("/", post(order)).layer(stack(config).idempotency(once));
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let request = Request::post("/").header("idempotency-key", "1").body(Body::empty()).expect("a request");
        statuses.push(app.clone().oneshot(request).await.expect("infallible").status());
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let [late, running, done] = [StatusCode::GATEWAY_TIMEOUT, StatusCode::CONFLICT, StatusCode::CREATED];
    assert_eq!(statuses, [late, running, running, running, done]);
}

#[tokio::test]
async fn a_handler_that_is_run_once_knows_of_retries_further_out_and_its_own_are_heard_of() {
    let client = client_stack(config()).expect("valid").layer(backend(&Calls::default(), |_| response(500)));
    for is_once in [false, true] {
        let client = client.clone();
        let handler = async move || {
            let attempt = Attempt::current().map(Attempt::number);
            client.oneshot(Request::new(())).await.expect("an answer");
            (StatusCode::BAD_GATEWAY, format!("{attempt:?}"))
        };
        let app = Router::new().route("/", post(handler));
        let server = stack(ServerStackConfig::new());
        let keys = IdempotencyKeys::new().global_scope();
        let store = MemoryStore::new(std::num::NonZeroUsize::MIN.saturating_add(1));
        let once = IdempotencyLayer::new(IdempotencyConfig::new(), store).expect("valid").http_server(keys, Body::new);
        let app = if is_once { app.layer(server.idempotency(once)) } else { app.layer(server) };
        let request = |attempt: &str| {
            let request =
                Request::post("/").header("idempotency-key", attempt).header("x-envoy-attempt-count", attempt);
            request.body(Body::empty()).expect("a request")
        };
        let first = app.clone().oneshot(request("1")).await.expect("infallible");
        assert_eq!(first.headers()["x-should-retry"], "false", "its retries were given up: {is_once}");
        let second = app.oneshot(request("2")).await.expect("infallible");
        assert_eq!(axum::body::to_bytes(second.into_body(), 100).await.expect("a body"), "Some(2)", "{is_once}");
    }
}
