//! Which requests are the same one: by whose key, and by what they say.

use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use buttress::http::IdempotencyKeys;
use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer};
use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// Who an authenticated request is from. A token is given out anew each hour.
fn tenant(token: Option<&HeaderValue>) -> Option<String> {
    let token = token?.to_str().ok()?;
    token.strip_prefix("Bearer ")?.split('.').next().map(str::to_owned)
}

fn created() -> Response<Body> {
    Response::builder().status(StatusCode::CREATED).body(Body::empty()).expect("a response")
}

/// Orders of tenants, whose scope is the tenant and the operation.
fn of_tenants(calls: &Calls, store: &MemoryStore) -> Router {
    let keys = IdempotencyKeys::new()
        .scope(|head: &Parts| Some((tenant(head.headers.get("authorization")), head.uri.path().to_owned())));
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store.clone()).expect("valid");
    answering(calls, created).layer(layer.http_server(keys, Body::new))
}

fn with_token(mut request: Request<Body>, token: &str) -> Request<Body> {
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a value"));
    request
}

#[tokio::test]
async fn a_key_is_of_one_tenant_and_one_operation_and_not_of_one_token() {
    let (calls, store) = (Calls::default(), store());
    let app = of_tenants(&calls, &store);
    let run = async |request| {
        let response = send(&app, request).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        !is_a_replay(&response)
    };
    assert!(run(with_token(order(), "tea-shop.1")).await);
    assert!(!run(with_token(order(), "tea-shop.2")).await, "the same tenant with another token");
    assert!(run(with_token(order(), "book-shop.1")).await, "another tenant");
    assert!(run(with_token(post_to("/refunds", Some("k"), "tea"), "tea-shop.1")).await, "another operation");
    assert_eq!((calls.so_far(), store.len()), (3, 3));
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused_while_the_first_one_runs_and_afterwards() {
    let (started, finish) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (begins, ends) = (started.clone(), finish.clone());
    let handler = routing::post(async move || {
        begins.notify_one();
        ends.notified().await;
        StatusCode::CREATED
    });
    let store = store();
    let app = Router::new().fallback(handler).layer(once(&store));
    let others = || {
        let mut other_kind = order();
        other_kind.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        let mut patch = order();
        *patch.method_mut() = axum::http::Method::PATCH;
        let other_body = post_to("/orders", Some("k"), "coffee");
        [
            other_body,
            post_to("/orders?gift=1", Some("k"), "tea"),
            post_to("/carts", Some("k"), "tea"),
            other_kind,
            patch,
        ]
    };
    let assert_mismatches = async || {
        for other in others() {
            let refused = send(&app, other).await;
            assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
            assert!(text(refused).await.contains("urn:problem-type:buttress:idempotency-mismatch"));
        }
    };
    let first = tokio::spawn({
        let app = app.clone();
        async move { send(&app, order()).await }
    });
    started.notified().await;
    assert_mismatches().await;
    finish.notify_one();
    assert_eq!(first.await.expect("no panic").status(), StatusCode::CREATED, "nothing has come of the others");
    assert_mismatches().await;
    let mut same = order();
    same.headers_mut().insert("content-type", HeaderValue::from_static("Text/Plain; charset=utf-8"));
    assert!(is_a_replay(&send(&app, same).await), "parameters of a type are not told apart");
}

#[tokio::test]
async fn what_a_request_is_known_by_may_be_said() {
    let (calls, store) = (Calls::default(), store());
    let canonical = |_: &Parts, body: &Bytes| {
        let json: Result<serde_json::Value, _> = serde_json::from_slice(body);
        json.map_or_else(|_| body.to_vec(), |json| json.to_string().into_bytes())
    };
    let keys = IdempotencyKeys::new().fingerprint(canonical).global_scope().strict();
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store).expect("valid").http_server(keys, Body::new);
    let app = answering(&calls, created).layer(layer);
    let first = send(&app, post_to("/orders", Some("\"k\""), r#"{"tea":1,"milk":2}"#)).await;
    assert!(!is_a_replay(&first));
    let same = send(&app, post_to("/orders?again", Some("\"k\""), r#"{ "milk": 2, "tea": 1 }"#)).await;
    assert!(is_a_replay(&same));
    let other = send(&app, post_to("/orders", Some("\"k\""), r#"{"tea":2,"milk":2}"#)).await;
    assert_eq!((other.status(), calls.so_far()), (StatusCode::UNPROCESSABLE_ENTITY, 1));
}

#[tokio::test]
async fn two_lines_are_no_key() {
    let (calls, store) = (Calls::default(), store());
    let app = answering(&calls, created).layer(once(&store));
    let mut two = order();
    two.headers_mut().append("idempotency-key", HeaderValue::from_static("k"));
    let refused = send(&app, two).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(text(refused).await.contains("urn:problem-type:buttress:idempotency-key-malformed"));
    assert!(store.is_empty() && calls.so_far() == 0);
}

/// What is hostile or strange, beside what is random.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let strange = [
        &b""[..],
        b"\"\"",
        b"\"a\";p=1",
        b"a, b",
        b"{tag}",
        b"*",
        b"k\t",
        b"\"'; DROP TABLE idem; --\"",
        b"\"return redis.call('FLUSHALL')\"",
        "k\u{e9}y".as_bytes(),
        b"\xff\xfe",
        b"\"\\\"\"",
        b"\"\\",
    ];
    let strange = proptest::sample::select(strange.map(<[u8]>::to_vec).to_vec());
    prop_oneof![
        2 => strange,
        2 => proptest::collection::vec(any::<u8>(), 0..300),
        1 => "[a-z:/=+-]{250,260}".prop_map(String::into_bytes),
        1 => "\"[ -~]{0,300}\"".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn whatever_is_sent_as_a_key_is_refused_or_is_one_record(keys in proptest::collection::vec(key(), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (calls, store) = (Calls::default(), store());
            let app = answering(&calls, created).layer(once(&store));
            for key in keys {
                // What cannot stand in a header reaches nobody: hyper does not read it.
                let Ok(key) = HeaderValue::from_bytes(&key) else { continue };
                let sent = || {
                    let mut request = post_to("/orders", None, "tea");
                    request.headers_mut().insert("idempotency-key", key.clone());
                    request
                };
                let (before, records) = (calls.so_far(), store.len());
                let (first, again) = (send(&app, sent()).await, send(&app, sent()).await);
                assert_eq!(first.status(), again.status());
                if first.status() == StatusCode::BAD_REQUEST {
                    assert_eq!((calls.so_far(), store.len()), (before, records));
                } else {
                    assert_eq!(first.status(), StatusCode::CREATED);
                    assert!(is_a_replay(&again));
                    // Another one of the keys may be the same one.
                    assert!(is_a_replay(&first) || (calls.so_far(), store.len()) == (before + 1, records + 1));
                    assert!(!is_a_replay(&first) || (calls.so_far(), store.len()) == (before, records));
                }
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_who_sends_ever_new_keys_is_refused_before_the_store_is_full() {
    let (calls, store) = (Calls::default(), store());
    let limit = RateLimitConfig::new(Quota::per_second(100));
    let by_tenant = |request: &Request<Body>| tenant(request.headers().get("authorization"));
    let limit = RateLimitLayer::by_key(limit, by_tenant).expect("valid").http_server();
    let app = of_tenants(&calls, &store).layer(limit);
    let mut refused = 0;
    for number in 0..10_000 {
        let key = number.to_string();
        let response = send(&app, with_token(post_to("/orders", Some(&key), "tea"), "flood.1")).await;
        refused += u32::from(response.status() == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!((refused, store.len()), (9900, 100));
    let other = send(&app, with_token(order(), "tea-shop.1")).await;
    assert_eq!(other.status(), StatusCode::CREATED, "there is room for others");
    tokio::time::advance(Duration::from_secs(1)).await;
    let later = send(&app, with_token(post_to("/orders", Some("later"), "tea"), "flood.1")).await;
    assert_eq!(later.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_key_may_be_in_the_body_and_need_not_be_there() {
    let (calls, store) = (Calls::default(), store());
    let number = |_: &Parts, body: &Bytes| {
        let order: serde_json::Value = serde_json::from_slice(body).ok()?;
        order["number"].as_u64()
    };
    let keys = IdempotencyKeys::new().key(number).scope(|_: &Parts| Some("order.create"));
    let once = |keys| {
        let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store.clone()).expect("valid");
        layer.http_server(keys, Body::new)
    };
    let (needs, may_have) = (once(keys.clone()), once(keys.key_optional()));
    let (needs, may_have) = (answering(&calls, created).layer(needs), answering(&calls, created).layer(may_have));
    let with = || post_to("/orders", None, r#"{ "number": 7 }"#);
    let without = || post_to("/orders", Some("k"), r#"{ "tea": 7 }"#);
    assert!(!is_a_replay(&send(&needs, with()).await));
    assert!(is_a_replay(&send(&needs, with()).await));
    assert!(is_a_replay(&send(&may_have, with()).await));
    let other = post_to("/orders", None, r#"{ "number": 7, "tea": 1 }"#);
    assert_eq!(send(&needs, other).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let refused = send(&needs, without()).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(text(refused).await.contains("urn:problem-type:buttress:idempotency-key-missing"));
    for _ in 0..2 {
        assert!(!is_a_replay(&send(&may_have, without()).await), "run as often as it is sent");
    }
    assert_eq!((calls.so_far(), store.len()), (3, 1));
}

#[tokio::test]
async fn the_methods_and_the_header_may_be_chosen_and_a_tunnel_is_never_told_again() {
    const NAME: HeaderName = HeaderName::from_static("paypal-request-id");
    let (calls, store) = (Calls::default(), store());
    let keys =
        IdempotencyKeys::new().global_scope().header(NAME).methods([Method::PUT, Method::CONNECT]).key_optional();
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store.clone()).expect("valid");
    let counted = calls.clone();
    let app = Router::new().fallback(routing::any(async move || _ = counted.count()));
    let app = app.layer(layer.http_server(keys, Body::new));
    let is_replay = async |method: Method, name: HeaderName| {
        let mut request = post_to("/orders", None, "tea");
        *request.method_mut() = method;
        request.headers_mut().insert(name, HeaderValue::from_static("k"));
        is_a_replay(&send(&app, request).await)
    };
    let ours = HeaderName::from_static("idempotency-key");
    assert!(!is_replay(Method::PUT, NAME).await && is_replay(Method::PUT, NAME).await);
    for (method, name) in [(Method::PUT, ours), (Method::POST, NAME), (Method::CONNECT, NAME)] {
        assert!(!is_replay(method.clone(), name.clone()).await && !is_replay(method, name).await);
    }
    assert_eq!((calls.so_far(), store.len()), (7, 1));
}

#[tokio::test]
async fn whoever_is_nobody_shares_no_scope_with_others_who_are() {
    let (calls, store) = (Calls::default(), store());
    let keys = IdempotencyKeys::new().scope(|head: &Parts| tenant(head.headers.get("authorization")));
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store.clone()).expect("valid");
    let app = answering(&calls, created).layer(layer.http_server(keys, Body::new));
    let refused = send(&app, order()).await;
    assert_eq!((refused.status(), store.is_empty()), (StatusCode::INTERNAL_SERVER_ERROR, true));
    assert!(text(refused).await.contains("scope-missing"));
    assert_eq!(send(&app, with_token(order(), "Bearer ada.1")).await.status(), StatusCode::CREATED);
    assert_eq!(calls.so_far(), 1);
}
