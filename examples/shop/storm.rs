//! A storm of customers: orders at a steady rate over HTTP, whether or not the shop keeps up.
//!
//! There are 200 clients with a connection each. An order that finds none of them free is missed, and so is one that
//! the storm itself woke too late for: neither is made up for later, since a burst would measure something else.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tower::BoxError;

use crate::judge;
use crate::provider::Provider;
use crate::record::{Log, Played, Said};
use crate::script::Act;

const CLIENTS: usize = 200;

/// How late an order may be sent. A busy machine wakes the storm ten milliseconds late now and then; what is due by
/// then is no burst yet. With 5 ms a compiler at work beside it cost an eighth of the orders.
const OVERDUE: Duration = Duration::from_millis(20);

/// How long the storm waits at the end for answers that are still to come.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Storm {
    log: Log,
    /// The clients that wait for no answer. FIFO, so that all of them get their turn.
    free: mpsc::Receiver<Client>,
    back: mpsc::Sender<Client>,
}

impl Storm {
    pub(crate) fn over(shop: SocketAddr, log: Log) -> Self {
        let (back, free) = mpsc::channel(CLIENTS);
        for _ in 0..CLIENTS {
            back.try_send(Client { shop, connection: None }).expect("there is room for all of them");
        }
        Self { log, free, back }
    }

    /// Plays the script, and returns when all is answered or there is no more hope for it.
    pub(crate) async fn play(mut self, acts: &[Act], provider: &Provider) -> Vec<Played> {
        let mut played = Vec::new();
        for (number, &act) in acts.iter().enumerate() {
            provider.turns(act.phase.mood());
            played.push(self.play_act(number, act).await);
        }
        let all_back = async {
            for _ in 0..CLIENTS {
                self.free.recv().await;
            }
        };
        // Who is not back by then has no answer, and that is on record.
        let _ = timeout(PATIENCE, all_back).await;
        played
    }

    async fn play_act(&mut self, number: usize, act: Act) -> Played {
        let from = self.log.now();
        let end = from + act.lasts;
        let mut played = Played { act, from, until: end, missed: 0, overslept: vec![] };
        let mut orders_due = (0..).map(|order| from + Duration::from_secs(1) * order / act.rate).peekable();
        loop {
            let now = self.log.now();
            while let Some(due) = orders_due.next_if(|due| *due <= now && *due < end) {
                if now - due > OVERDUE {
                    played.overslept.push(due);
                } else if let Ok(client) = self.free.try_recv() {
                    self.send(client, number);
                } else {
                    played.missed += 1;
                }
            }
            if now >= end {
                return played;
            }
            if act.until_decided && judge::paid_again(&self.log.orders(), number, from).is_some() {
                return Played { until: now, ..played };
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn send(&self, mut client: Client, act: usize) {
        let order = self.log.sent(act);
        let log = self.log.clone();
        let back = self.back.clone();
        tokio::spawn(async move {
            if let Ok(said) = client.order(order).await {
                log.answered(order, said);
            }
            // Nobody waits for it any more once the storm is over.
            let _ = back.try_send(client);
        });
    }
}

fn meaning<B>(response: &Response<B>) -> Said {
    match response.status() {
        StatusCode::CREATED => Said::Paid,
        StatusCode::ACCEPTED => Said::PayLater,
        StatusCode::TOO_MANY_REQUESTS => Said::Limited { told_when: tells_when(response.headers()) },
        _ => Said::Failed,
    }
}

fn tells_when(headers: &HeaderMap) -> bool {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::parse::<u32>);
    matches!(seconds, Some(Ok(_)))
}

/// A customer's client. It keeps its connection from one order to the next, unless something went wrong.
struct Client {
    shop: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    async fn order(&mut self, number: usize) -> Result<Said, BoxError> {
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.ready().await?;
        let order = json!({ "order_no": number.to_string(), "cents": 1999 });
        let request = Request::post("/orders")
            .header(HOST, self.shop.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(order.to_string()))?;
        let response = connection.send_request(request).await?;
        let said = meaning(&response);
        response.into_body().collect().await?;
        self.connection = Some(connection);
        Ok(said)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, BoxError> {
        let stream = TcpStream::connect(self.shop).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(connection)
    }
}
