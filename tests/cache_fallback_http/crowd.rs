//! A proxy with a memory, over real sockets: an origin that answers when it is let, and a crowd that asks at the same time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::{StatusCode, Uri};
use buttress::http::CachedResponses;
use hyper::client::conn::http2;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};

use super::*;

/// What an origin answers to its `number`th request, from 1.
pub(super) type Answers = fn(u32, &Request<Body>) -> Response<Body>;

#[derive(Clone)]
struct Origin {
    answers: Answers,
    calls: Arc<AtomicU32>,
    /// As many as may be answered yet.
    gate: Arc<Semaphore>,
}

impl Origin {
    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.gate.acquire().await.expect("it is not closed").forget();
        (self.answers)(number, &request)
    }
}

/// Who has come to the proxy, and who has left before there was an answer.
#[derive(Clone, Default)]
struct Door {
    arrived: Arc<AtomicU32>,
    left: Arc<AtomicU32>,
}

struct Waits(Option<Arc<AtomicU32>>);

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some(left) = &self.0 {
            left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All of it runs in one thread: who has arrived has been seen by the memory when anybody else runs.
pub(super) struct Proxy {
    origin: Origin,
    door: Door,
    pub(super) memory: Memory<CacheKey, StoredResponse>,
    pub(super) address: SocketAddr,
    /// For many at a time.
    of_crowd: http2::SendRequest<Body>,
}

impl Proxy {
    pub(super) async fn start(responses: CachedResponses, answers: Answers) -> Self {
        let origin = Origin { answers, calls: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
        let asked = origin.clone();
        let app = Router::new().fallback(move |request: Request<Body>| asked.clone().answer(request));
        let upstream = serve(app).await;

        let layer = super::read_through::layer(responses);
        let (memory, door) = (layer.memory(), Door::default());
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let forward = service_fn(move |mut request: Request<Body>| {
            let path = request.uri().path_and_query().expect("a path").as_str();
            *request.uri_mut() = format!("http://{upstream}{path}").parse::<Uri>().expect("a URI");
            *request.version_mut() = axum::http::Version::HTTP_11;
            let call = client.request(request);
            async move {
                let answer = call.await.map(|response| response.map(Body::new));
                Ok::<_, Infallible>(answer.unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response()))
            }
        });
        let cached = layer.layer(forward);
        let service = service_fn({
            let door = door.clone();
            move |request: Request<Body>| {
                let (cached, door) = (cached.clone(), door.clone());
                async move {
                    let mut waits = Waits(Some(door.left));
                    door.arrived.fetch_add(1, Ordering::Relaxed);
                    let answer = cached.oneshot(request).await;
                    waits.0 = None;
                    answer
                }
            }
        });
        let address = serve(Router::new().fallback_service(service.clone())).await;
        let of_crowd = serve_crowd(Router::new().fallback_service(service)).await;
        Self { origin, door, memory, address, of_crowd }
    }

    /// How often the origin was asked.
    pub(super) fn calls(&self) -> u32 {
        self.origin.calls.load(Ordering::Relaxed)
    }

    pub(super) async fn until_calls(&self, calls: u32) {
        while self.calls() < calls {
            yield_now().await;
        }
    }

    pub(super) async fn until_arrived(&self, arrived: u32) {
        while self.door.arrived.load(Ordering::Relaxed) < arrived {
            yield_now().await;
        }
    }

    pub(super) async fn until_left(&self, left: u32) {
        while self.door.left.load(Ordering::Relaxed) < left {
            yield_now().await;
        }
    }

    /// Lets the origin answer so many requests.
    pub(super) fn let_answer(&self, requests: usize) {
        self.origin.gate.add_permits(requests);
    }

    /// Asks, and is told once the task has come to its end.
    pub(super) fn ask(&self, request: Request<Body>) -> JoinHandle<Told> {
        let mut client = self.of_crowd.clone();
        tokio::spawn(async move {
            client.ready().await.expect("it listens");
            let response = client.send_request(request).await.expect("an answer");
            Told::of(response.map(Body::new)).await
        })
    }

    /// Asks when the origin may answer at once.
    pub(super) async fn told(&self, request: Request<Body>) -> Told {
        self.let_answer(1);
        let told = self.ask(request).await.expect("no panic");
        self.origin.gate.forget_permits(usize::MAX);
        told
    }
}

pub(super) async fn all(asking: Vec<JoinHandle<Told>>) -> Vec<Told> {
    let mut all = Vec::new();
    for told in asking {
        all.push(told.await.expect("no panic"));
    }
    all
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Serves an app over one connection.
async fn serve_crowd(app: Router) -> http2::SendRequest<Body> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("it listens")).await.expect("it listens");
    let (server, _) = listener.accept().await.expect("a client");
    let app = app.map_request(|request: Request<hyper::body::Incoming>| request.map(Body::new));
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(2000)
        .serve_connection(TokioIo::new(server), TowerToHyperService::new(app));
    tokio::spawn(serving);
    let (client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.expect("both speak it");
    tokio::spawn(connection);
    client
}
