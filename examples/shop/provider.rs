//! The payment provider: somebody else's HTTP server, whose health is not in our hands.
//!
//! `POST /charges` takes an `Idempotency-Key`, and charges once for each key however often it is asked. A request keeps
//! the behaviour it arrived under, whatever happens to the provider meanwhile.

mod door;
mod ledger;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use clap::ValueEnum;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::door::Door;
use self::ledger::{Charge, Ledger};
use crate::problem::Problem;

/// How the provider treats what comes in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Behaviour {
    /// How long a charge takes.
    delay: Duration,
    /// Which share of the requests gets a 503 at once, before anything is charged.
    failing: f64,
    /// Which share of the time it listens for connections; the rest of the time they are refused.
    listening: f64,
}

/// The behaviours there are a name for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mood {
    Healthy,
    Slow,
    /// Three requests in ten fail.
    Shaky,
    /// Half the calls find nobody listening, the others get a 503.
    Outage,
    /// Every request gets a 503.
    Down,
    /// Nobody listens.
    Refusing,
}

impl Mood {
    const fn behaviour(self) -> Behaviour {
        let healthy = Behaviour { delay: Duration::from_millis(5), failing: 0.0, listening: 1.0 };
        match self {
            Self::Healthy => healthy,
            Self::Slow => Behaviour { delay: Duration::from_millis(2500), ..healthy },
            Self::Shaky => Behaviour { failing: 0.3, ..healthy },
            Self::Outage => Behaviour { failing: 1.0, listening: 0.5, ..healthy },
            Self::Down => Behaviour { failing: 1.0, ..healthy },
            Self::Refusing => Behaviour { failing: 1.0, listening: 0.0, ..healthy },
        }
    }
}

/// A provider at work, and the power over its moods.
pub(crate) struct Provider {
    address: SocketAddr,
    desk: Arc<Desk>,
}

struct Desk {
    behaviour: watch::Sender<Behaviour>,
    ledger: Ledger,
}

impl Provider {
    /// Opens one on a free port of the loopback interface.
    pub(crate) fn open() -> io::Result<Self> {
        let behaviour = watch::Sender::new(Mood::Healthy.behaviour());
        let door = Door::hang(behaviour.subscribe())?;
        let address = door.address();
        let desk = Arc::new(Desk { behaviour, ledger: Ledger::default() });
        let app = Router::new().route("/charges", post(charge)).with_state(desk.clone());
        tokio::spawn(axum::serve(door, app).into_future());
        Ok(Self { address, desk })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn turns(&self, mood: Mood) {
        self.desk.behaviour.send_replace(mood.behaviour());
    }

    /// The number of the order of every charge that it made.
    pub(crate) fn charged(&self) -> Vec<String> {
        self.desk.ledger.orders()
    }

    /// Opens its back office, where `PUT /behaviour/{mood}` changes the mood by hand. It has a port of its own: one
    /// must get in although the provider refuses connections.
    pub(crate) async fn open_back_office(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let app = Router::new().route("/behaviour/{mood}", put(behave)).with_state(self.desk.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        Ok(address)
    }
}

async fn charge(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    charge: Result<Json<Charge>, JsonRejection>,
) -> Response {
    let behaviour = *desk.behaviour.borrow();
    let mut response = if fastrand::f64() < behaviour.failing {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    } else {
        take(&desk.ledger, &headers, charge, behaviour.delay).await.into_response()
    };
    if behaviour.listening < 1.0 {
        // Whoever has a connection already must come back for a new one, to find out whether anybody listens.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn take(
    ledger: &Ledger,
    headers: &HeaderMap,
    charge: Result<Json<Charge>, JsonRejection>,
    delay: Duration,
) -> Result<impl IntoResponse, Problem> {
    let Json(charge) = charge?;
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok())
        .ok_or_else(|| Problem::BadRequest("An Idempotency-Key is required.".into()))?;
    let receipt = ledger.charge(key, charge, delay).await.map_err(|_| Problem::KeyReused)?;
    Ok((StatusCode::CREATED, Json(receipt)))
}

async fn behave(State(desk): State<Arc<Desk>>, Path(mood): Path<String>) -> Result<String, Problem> {
    let mood = Mood::from_str(&mood, true).map_err(|_| {
        let known: Vec<_> = Mood::value_variants().iter().map(|mood| format!("{mood:?}").to_lowercase()).collect();
        Problem::BadRequest(format!("The moods are {}.", known.join(", ")))
    })?;
    desk.behaviour.send_replace(mood.behaviour());
    Ok(format!("{:?}\n", mood.behaviour()))
}
