//! Clients that go away, over sockets and at every point: what they asked for is done once, or was never begun.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::server::{NotifyOnDrop, Server, some_of};
use super::*;

#[derive(Clone, Copy, Debug)]
enum Leaves {
    Closes,
    /// What is sent ends, and the client still listens. To hyper it has gone.
    HalfCloses,
    Resets,
}

const WAYS: [Leaves; 3] = [Leaves::Closes, Leaves::HalfCloses, Leaves::Resets];

impl Leaves {
    /// Gives back the connection if it is not dropped.
    async fn leave(self, mut client: TcpStream) -> Option<TcpStream> {
        match self {
            Self::Closes => return None,
            Self::HalfCloses => client.shutdown().await.expect("connected"),
            Self::Resets => {
                client.set_zero_linger().expect("a socket");
                return None;
            }
        }
        Some(client)
    }
}

/// The length of the body is that of "tea".
const HEAD: &str =
    "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\nidempotency-key: k\r\ncontent-length: 3\r\n\r\n";

/// Orders that are created as soon as the test lets them.
#[derive(Clone, Default)]
struct Orders {
    calls: Calls,
    begun: Arc<Notify>,
    may_end: Arc<Notify>,
    /// Streams are endless, and this is told when one is dropped.
    stream_dropped: Arc<Notify>,
}

impl Orders {
    fn app(&self, store: &MemoryStore) -> Router {
        let (orders, streams) = (self.clone(), self.clone());
        Router::new()
            .route(
                "/orders",
                routing::post(async move || {
                    let number = orders.calls.count();
                    orders.begun.notify_one();
                    orders.may_end.notified().await;
                    (StatusCode::CREATED, [("location", "/orders/7")], format!("order {number}"))
                }),
            )
            .route(
                "/streams",
                routing::post(async move || {
                    streams.calls.count();
                    let told = NotifyOnDrop(streams.stream_dropped.clone());
                    let endless = stream::repeat_with(move || {
                        let _told = &told;
                        Ok::<_, std::io::Error>(Bytes::from_static(&[7; 16 << 10]))
                    });
                    ([("location", "/orders/7")], Body::from_stream(endless)).into_response()
                }),
            )
            .layer(once(store))
    }
}

/// Asks again until there is an answer, and says what it is.
async fn finally(app: &Router) -> (bool, String) {
    loop {
        let response = send(app, order()).await;
        if response.status() != StatusCode::CONFLICT {
            assert_eq!(response.status(), StatusCode::CREATED);
            return (is_a_replay(&response), text(response).await);
        }
        assert!(response.headers().contains_key("retry-after"));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn of_a_client_that_goes_away_before_its_request_is_whole_nothing_is_recorded() {
    let (all, head) = (format!("{HEAD}tea"), HEAD.len());
    for leaves in WAYS {
        for sent in [0, 1, "POST /orders".len(), head - 30, head - 1, head, head + 1, head + 2] {
            let (orders, store) = (Orders::default(), store());
            let app = orders.app(&store);
            let mut server = Server::http1(app.clone()).await;
            let mut client = server.connect().await;
            client.write_all(&all.as_bytes()[..sent]).await.expect("sent");
            let still_there = leaves.leave(client).await;
            server.connection_over().await;
            drop(still_there);
            assert!(store.is_empty(), "{leaves:?} after {sent} bytes");
            assert_eq!(orders.calls.so_far(), 0);
            // Whoever asks again is the first one.
            orders.may_end.notify_one();
            assert_eq!(finally(&app).await, (false, "order 1".to_owned()));
        }
    }
}

/// Nobody can know whether it was begun. Once it is in any case.
#[tokio::test]
async fn what_a_client_asked_for_that_goes_away_at_once_is_done_at_most_once() {
    for leaves in WAYS {
        let (orders, store) = (Orders::default(), store());
        let app = orders.app(&store);
        let mut server = Server::http1(app.clone()).await;
        let mut client = server.connect().await;
        client.write_all(format!("{HEAD}tea").as_bytes()).await.expect("sent");
        let still_there = leaves.leave(client).await;
        orders.may_end.notify_one();
        assert_eq!(finally(&app).await.1, "order 1", "{leaves:?}");
        server.connection_over().await;
        drop(still_there);
        assert_eq!(finally(&app).await, (true, "order 1".to_owned()));
        assert_eq!((orders.calls.so_far(), store.len()), (1, 1));
    }
}

#[tokio::test]
async fn what_a_client_asked_for_that_goes_away_while_it_is_done_is_done_once() {
    for leaves in WAYS {
        let (orders, store) = (Orders::default(), store());
        let app = orders.app(&store);
        let mut server = Server::http1(app.clone()).await;
        let mut client = server.connect().await;
        client.write_all(format!("{HEAD}tea").as_bytes()).await.expect("sent");
        orders.begun.notified().await;
        let still_there = leaves.leave(client).await;
        server.answered_or_given_up().await;
        server.connection_over().await;
        drop(still_there);
        let running = send(&app, order()).await;
        assert_eq!(running.status(), StatusCode::CONFLICT, "{leaves:?}");
        assert!(text(running).await.contains("urn:problem-type:buttress:idempotency-running"));
        orders.may_end.notify_one();
        assert_eq!(finally(&app).await, (true, "order 1".to_owned()));
        assert_eq!((orders.calls.so_far(), store.len()), (1, 1));
    }
}

/// The control: without the layer it is cut off.
#[tokio::test]
async fn without_the_layer_what_a_client_asked_for_is_cut_off_when_it_goes_away() {
    for leaves in WAYS {
        let (begun, cut) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, is_cut) = (begun.clone(), cut.clone());
        let app = Router::new().fallback(routing::post(async move || {
            let _told = NotifyOnDrop(is_cut.clone());
            begins.notify_one();
            std::future::pending::<()>().await;
        }));
        let mut server = Server::http1(app).await;
        let mut client = server.connect().await;
        client.write_all(format!("{HEAD}tea").as_bytes()).await.expect("sent");
        begun.notified().await;
        let still_there = leaves.leave(client).await;
        cut.notified().await;
        server.connection_over().await;
        drop(still_there);
    }
}

#[tokio::test]
async fn what_a_client_was_answered_with_that_goes_away_in_the_midst_of_the_answer_is_told_again() {
    for leaves in WAYS {
        let (orders, store) = (Orders::default(), store());
        let app = orders.app(&store);
        let mut server = Server::http1(app.clone()).await;
        let mut client = server.connect().await;
        client.write_all(format!("{HEAD}tea").as_bytes()).await.expect("sent");
        orders.may_end.notify_one();
        let mut beginning = [0; 12];
        client.read_exact(&mut beginning).await.expect("an answer");
        assert_eq!(&beginning, b"HTTP/1.1 201");
        let still_there = leaves.leave(client).await;
        server.connection_over().await;
        drop(still_there);
        let again = send(&app, order()).await;
        assert_eq!((again.status(), is_a_replay(&again)), (StatusCode::CREATED, true), "{leaves:?}");
        assert_eq!((text(again).await, orders.calls.so_far()), ("order 1".to_owned(), 1));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_midst_of_a_stream_ends_the_stream_and_it_is_not_begun_again() {
    for leaves in WAYS {
        let (orders, store) = (Orders::default(), store());
        let app = orders.app(&store);
        let mut server = Server::http1(app.clone()).await;
        let mut client = server.connect().await;
        client.write_all(HEAD.replace("/orders", "/streams").as_bytes()).await.expect("sent");
        client.write_all(b"tea").await.expect("sent");
        client.read_exact(&mut vec![0; 1 << 20]).await.expect("without end");
        let still_there = leaves.leave(client).await;
        if let Some(mut client) = still_there {
            // Whoever still listens to a stream does not get it to the end.
            let mut rest = vec![0; 16 << 10];
            while client.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        }
        orders.stream_dropped.notified().await;
        server.connection_over().await;
        assert_not_replayable(send(&app, post_to("/streams", Some("k"), "tea")).await).await;
        assert_eq!(orders.calls.so_far(), 1, "{leaves:?}");
    }
}

#[tokio::test]
async fn what_is_reset_over_http2_while_it_is_done_is_done_once() {
    let (orders, store) = (Orders::default(), store());
    let app = orders.app(&store);
    let server = Server::http2(app.clone()).await;
    let mut client = server.connect_http2().await;
    let request = || {
        let mut request = order();
        *request.uri_mut() = "http://a/orders".parse().expect("a URI");
        request
    };
    let pending = tokio::spawn(client.send_request(request()));
    orders.begun.notified().await;
    pending.abort();
    assert!(pending.await.expect_err("aborted").is_cancelled());
    server.answered_or_given_up().await;
    // The connection lives, and the run too.
    let running = client.send_request(request()).await.expect("a response");
    assert_eq!(running.status(), StatusCode::CONFLICT);
    orders.may_end.notify_one();
    assert_eq!(finally(&app).await, (true, "order 1".to_owned()));
    let again = client.send_request(request()).await.expect("a response");
    assert_eq!(
        (again.status(), &again.headers()["idempotency-replayed"]),
        (StatusCode::CREATED, &"true".parse().expect("a value"))
    );
    assert_eq!(orders.calls.so_far(), 1);
}

#[tokio::test]
async fn a_stream_that_is_reset_over_http2_is_not_begun_again() {
    let (orders, store) = (Orders::default(), store());
    let app = orders.app(&store);
    let server = Server::http2(app.clone()).await;
    let mut client = server.connect_http2().await;
    let mut request = post_to("/streams", Some("k"), "tea");
    *request.uri_mut() = "http://a/streams".parse().expect("a URI");
    let mut response = client.send_request(request).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!some_of(response.body_mut()).await.is_empty());
    drop(response);
    orders.stream_dropped.notified().await;
    assert_not_replayable(send(&app, post_to("/streams", Some("k"), "tea")).await).await;
    assert_eq!(orders.calls.so_far(), 1);
}

#[tokio::test]
async fn of_a_request_that_is_reset_over_http2_before_it_is_whole_nothing_is_recorded() {
    let (orders, store) = (Orders::default(), store());
    let app = orders.app(&store);
    let server = Server::http2(app.clone()).await;
    let mut client = server.connect_http2().await;
    let beginning = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"te")) });
    let mut half = post_to("/orders", Some("k"), Body::from_stream(beginning.chain(stream::pending())));
    *half.uri_mut() = "http://a/orders".parse().expect("a URI");
    let pending = tokio::spawn(client.send_request(half));
    // What is answered later on the same connection was sent later: the server knows of the other one.
    tokio::task::yield_now().await;
    let later = Request::get("http://a/orders").body(Body::empty()).expect("a request");
    assert_eq!(client.send_request(later).await.expect("a response").status(), StatusCode::METHOD_NOT_ALLOWED);
    server.answered_or_given_up().await;
    pending.abort();
    server.answered_or_given_up().await;
    assert!(store.is_empty());
    orders.may_end.notify_one();
    assert_eq!(finally(&app).await, (false, "order 1".to_owned()));
}
