//! Many ask for the same at the same time, over real sockets.

use axum::http::StatusCode;
use buttress::http::CachedResponses;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::crowd::{Proxy, all};
use super::*;

/// Its answers are never fresh, and may stand in.
fn expired(number: u32, _: &Request<Body>) -> Response<Body> {
    ([("cache-control", "max-age=0, stale-while-revalidate=0")], number.to_string()).into_response()
}

/// A proxy that knows an answer which is not fresh any more.
async fn proxy(answers: super::crowd::Answers) -> Proxy {
    let proxy = Proxy::start(CachedResponses::new(), answers).await;
    assert_eq!(proxy.told(of(0)).await.body, "1");
    assert_eq!((proxy.calls(), proxy.memory.len()), (1, 1));
    proxy
}

/// The request of one of many.
fn of(who: u32) -> Request<Body> {
    get_with("http://shop/tea", &[("x-who", &who.to_string())])
}

const CROWD: u32 = 1000;

#[tokio::test]
async fn a_crowd_that_asks_for_what_has_expired_asks_once() {
    let proxy = proxy(expired).await;
    let asking = (0..CROWD).map(|who| proxy.ask(of(who))).collect();
    proxy.until_arrived(1 + CROWD).await;
    proxy.until_calls(2).await;
    proxy.let_answer(2 * CROWD as usize);
    let told = all(asking).await;
    assert!(told.iter().all(|told| (told.status, &*told.body) == (200, "2")));
    assert_eq!(proxy.calls(), 2);
    let collapsed = told.iter().filter(|told| told.header("cache-status") == ["shop;fwd=miss;collapsed"]).count();
    assert!(collapsed >= CROWD as usize - 1, "{collapsed}");

    // The control: each that asks alone asks the origin.
    for number in 3..6 {
        assert_eq!(proxy.told(of(0)).await.body, number.to_string());
        assert_eq!(proxy.calls(), number);
    }
}

#[tokio::test]
async fn a_crowd_is_answered_although_whoever_came_first_has_left() {
    let proxy = proxy(expired).await;
    let mut first = TcpStream::connect(proxy.address).await.expect("it listens");
    first.write_all(b"GET /tea HTTP/1.1\r\nhost: shop\r\n\r\n").await.expect("sent");
    proxy.until_calls(2).await;
    let asking = (0..CROWD).map(|who| proxy.ask(of(who))).collect();
    proxy.until_arrived(2 + CROWD).await;
    drop(first);
    proxy.until_left(1).await;
    proxy.let_answer(2 * CROWD as usize);
    let told = all(asking).await;
    assert!(told.iter().all(|told| (told.status, &*told.body) == (200, "2")));
    assert_eq!(proxy.calls(), 2);
}

/// Whoever serves the request of this number breaks off.
fn breaks_off<const NUMBER: u32>(number: u32, request: &Request<Body>) -> Response<Body> {
    assert_ne!(number, NUMBER, "it breaks off");
    expired(number, request)
}

#[tokio::test]
async fn when_the_one_call_fails_all_are_told_the_answer_of_old() {
    let proxy = proxy(breaks_off::<2>).await;
    let asking = (0..CROWD).map(|who| proxy.ask(of(who))).collect();
    proxy.until_arrived(1 + CROWD).await;
    proxy.until_calls(2).await;
    proxy.let_answer(2 * CROWD as usize);
    let told = all(asking).await;
    assert!(told.iter().all(|told| (told.status, &*told.body) == (200, "1") && told.header("age").len() == 1));
    assert_eq!((proxy.calls(), proxy.memory.counts().stood_in), (2, u64::from(CROWD)));
}

#[tokio::test]
async fn when_the_one_call_fails_and_there_is_none_one_more_is_made_for_the_rest() {
    let proxy = Proxy::start(CachedResponses::new(), breaks_off::<1>).await;
    let asking = (0..CROWD).map(|who| proxy.ask(of(who))).collect();
    proxy.until_arrived(CROWD).await;
    proxy.until_calls(1).await;
    proxy.let_answer(2 * CROWD as usize);
    let told = all(asking).await;
    let count = |status, body| told.iter().filter(|told| (told.status, &*told.body) == (status, body)).count();
    assert_eq!((count(502, ""), count(200, "2"), proxy.calls()), (1, CROWD as usize - 1, 2));
}

/// Says who asked, and that nobody else may be told.
fn each_their_own(number: u32, request: &Request<Body>) -> Response<Body> {
    let header = |name| request.headers().get(name).expect("it is sent").to_str().expect("text");
    let (who, says) = (header("x-who"), header("x-says"));
    if number == 1 {
        return expired(1, request);
    }
    let mut response =
        Response::new(Body::from(format!("for {who}{}", " ".repeat(if says == "large" { 2000 } else { 0 }))));
    let (name, value) = says.split_once(": ").unwrap_or(("x-says", says));
    response
        .headers_mut()
        .insert(axum::http::HeaderName::try_from(name).expect("a name"), value.parse().expect("a value"));
    response
}

#[tokio::test]
async fn what_is_nobody_elses_is_told_to_nobody_else() {
    for says in [
        "cache-control: private",
        "cache-control: no-store",
        "set-cookie: a=b",
        "vary: *",
        "vary: x-who",
        "trailer: digest",
        "content-type: text/event-stream",
        "large",
    ] {
        let proxy = Proxy::start(CachedResponses::new().max_body(1000), each_their_own).await;
        let of = |who: u32| get_with("http://shop/tea", &[("x-who", &who.to_string()), ("x-says", says)]);
        assert_eq!(proxy.told(of(0)).await.body, "1");
        let asking = (0..20).map(|who| proxy.ask(of(who))).collect();
        proxy.until_arrived(21).await;
        proxy.until_calls(2).await;
        proxy.let_answer(20);
        for (who, told) in all(asking).await.into_iter().enumerate() {
            assert_eq!((told.status, told.body.trim_end()), (200, &*format!("for {who}")), "{says}");
        }
        assert_eq!(proxy.calls(), 21, "{says}");
    }
}

#[tokio::test]
async fn who_says_who_they_are_asks_by_themselves() {
    let proxy = Proxy::start(CachedResponses::new(), each_their_own).await;
    for name in ["authorization", "cookie"] {
        let of = |who: u32| {
            get_with(
                "http://shop/tea",
                &[("x-who", &who.to_string()), ("x-says", "plain"), (name, &format!("a={who}"))],
            )
        };
        let before = proxy.calls();
        let asking = (0..20).map(|who| proxy.ask(of(who))).collect();
        proxy.until_calls(before + 20).await;
        proxy.let_answer(20);
        for (who, told) in all(asking).await.into_iter().enumerate().skip(1) {
            assert_eq!(told.body, format!("for {who}"), "{name}");
        }
        assert!(proxy.memory.is_empty());
    }
}

#[tokio::test]
async fn who_loads_it_anew_joins_nobody() {
    let proxy = proxy(expired).await;
    let again = || get_with("http://shop/tea", &[("cache-control", "max-age=0")]);
    let asking = (0..3).map(|_| proxy.ask(again())).collect();
    proxy.until_calls(4).await;
    proxy.let_answer(3);
    let mut bodies = all(asking).await.into_iter().map(|told| told.body).collect::<Vec<_>>();
    bodies.sort_unstable();
    assert_eq!(bodies, ["2", "3", "4"]);
}

/// What the service panics over, in the task of whoever came first.
#[tokio::test]
async fn when_the_one_call_panics_there_is_one_more() {
    let calls = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let service = super::read_through::layer(CachedResponses::new()).layer(service_fn({
        let (calls, gate) = (calls.clone(), gate.clone());
        move |_: Request<Body>| {
            let number = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            let gate = gate.clone();
            async move {
                gate.acquire().await.expect("it is not closed").forget();
                assert_ne!(number, 1, "it breaks");
                Ok::<_, Infallible>((StatusCode::OK, number.to_string()).into_response())
            }
        }
    }));
    let asking = (1..10).map(|who| tokio::spawn(service.clone().oneshot(of(who)))).collect::<Vec<_>>();
    while calls.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(10);
    let mut answered = 0;
    for asking in asking {
        if let Ok(response) = asking.await {
            assert_eq!(Told::of(response.expect("infallible")).await.body, "2");
            answered += 1;
        }
    }
    assert!(answered >= 8, "{answered}");
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 2);
}
