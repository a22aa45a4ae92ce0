//! HTTP servers of others, whose health is not in our hands.
//!
//! A request keeps the behaviour it arrived under, whatever happens to its server meanwhile.

mod door;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use clap::ValueEnum;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::door::Door;
use crate::problem::Problem;

/// How a server treats what comes in.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Behaviour {
    /// How long what is asked for takes.
    delay: Duration,
    /// Which share of the requests gets a 503 at once, before anything is done.
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

/// How long what a request asks for takes; its handler finds it in the extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay(pub(crate) Duration);

/// A server at work, and the power over its moods.
pub(crate) struct Upstream {
    address: SocketAddr,
    behaviour: watch::Sender<Behaviour>,
}

impl Upstream {
    /// Opens one on a free port of the loopback interface.
    pub(crate) fn open(app: Router) -> io::Result<Self> {
        let behaviour = watch::Sender::new(Mood::Healthy.behaviour());
        let door = Door::hang(behaviour.subscribe())?;
        let address = door.address();
        let app = app.layer(from_fn_with_state(behaviour.clone(), behave));
        tokio::spawn(axum::serve(door, app).into_future());
        Ok(Self { address, behaviour })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn turns(&self, mood: Mood) {
        self.behaviour.send_replace(mood.behaviour());
    }

    /// Opens its back office, where `PUT /behaviour/{mood}` changes the mood by hand. It has a port of its own: one
    /// must get in although the server refuses connections.
    pub(crate) async fn open_back_office(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let app = Router::new().route("/behaviour/{mood}", put(turn)).with_state(self.behaviour.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        Ok(address)
    }
}

async fn behave(State(behaviour): State<watch::Sender<Behaviour>>, mut request: Request, app: Next) -> Response {
    let behaviour = *behaviour.borrow();
    let mut response = if fastrand::f64() < behaviour.failing {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    } else {
        request.extensions_mut().insert(Delay(behaviour.delay));
        app.run(request).await
    };
    if behaviour.listening < 1.0 {
        // Whoever has a connection already must come back for a new one, to find out whether anybody listens.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn turn(State(behaviour): State<watch::Sender<Behaviour>>, Path(mood): Path<String>) -> Result<String, Problem> {
    let mood = Mood::from_str(&mood, true).map_err(|_| {
        let known: Vec<_> = Mood::value_variants().iter().map(|mood| format!("{mood:?}").to_lowercase()).collect();
        Problem::BadRequest(format!("The moods are {}.", known.join(", ")))
    })?;
    behaviour.send_replace(mood.behaviour());
    Ok(format!("{:?}\n", mood.behaviour()))
}
