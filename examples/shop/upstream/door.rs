//! A listening socket that can be shut, so that connections are refused, without losing its port.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use futures::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Behaviour;
use crate::port::Port;

/// Open and shut take turns in it, in the proportion the behaviour says. It is short, so that any tenth of a second
/// sees both, and long beside the time it takes to open.
const ROUND: Duration = Duration::from_millis(50);

pub(super) struct Door {
    port: Port,
    listener: Option<TcpListener>,
    behaviour: watch::Receiver<Behaviour>,
    hung: Instant,
}

impl Door {
    /// Makes one on a free port of the loopback interface. It is open already, before somebody waits at it.
    pub(super) fn hang(behaviour: watch::Receiver<Behaviour>) -> io::Result<Self> {
        let port = Port::keep()?;
        Ok(Self { listener: Some(port.listen()?), port, behaviour, hung: Instant::now() })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    fn open(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            self.listener = Some(self.port.listen()?);
        }
        Ok(())
    }
}

impl Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let share = self.behaviour.borrow_and_update().listening;
            let (is_open, rest) = turn(share, self.hung.elapsed());
            if is_open {
                self.open().expect("the keeper holds the port for us");
            } else if let Some(mut listener) = self.listener.take() {
                // Whoever knocked in time is let in: closing would reset them, which is another kind of failure.
                if let Some(visitor) = Listener::accept(&mut listener).now_or_never() {
                    self.listener = Some(listener);
                    return visitor;
                }
            }
            tokio::select! {
                visitor = next(self.listener.as_mut()) => return visitor,
                () = sleep(rest) => {}
                changed = self.behaviour.changed() => changed.expect("the server behind the door keeps it"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address())
    }
}

async fn next(listener: Option<&mut TcpListener>) -> (TcpStream, SocketAddr) {
    match listener {
        Some(listener) => Listener::accept(listener).await,
        None => pending().await,
    }
}

/// Whether the door is open, `hung` that long ago, and how long it stays so.
fn turn(share: f64, hung: Duration) -> (bool, Duration) {
    let open_for = ROUND.mul_f64(share);
    let since_round_began = Duration::from_nanos(u64::try_from(hung.as_nanos() % ROUND.as_nanos()).unwrap_or(0));
    if since_round_began < open_for { (true, open_for - since_round_began) } else { (false, ROUND - since_round_began) }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::super::Mood;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn open_and_shut_take_turns_in_proportion() {
        assert_eq!(turn(0.5, Duration::ZERO), (true, 25 * MS));
        assert_eq!(turn(0.5, 24 * MS), (true, MS));
        assert_eq!(turn(0.5, 25 * MS), (false, 25 * MS));
        assert_eq!(turn(0.5, 1049 * MS), (false, MS));
        assert_eq!(turn(1.0, 1049 * MS), (true, MS));
        assert_eq!(turn(0.0, 1000 * MS), (false, 50 * MS));
    }

    #[tokio::test]
    async fn a_shut_door_refuses_and_keeps_its_port() {
        let behaviour = watch::Sender::new(Mood::Healthy.behaviour());
        let mut door = Door::hang(behaviour.subscribe()).expect("there is a free port");
        let address = door.address();
        tokio::spawn(async move {
            loop {
                door.accept().await;
            }
        });
        for _ in 0..3 {
            behaviour.send_replace(Mood::Healthy.behaviour());
            until(async || TcpStream::connect(address).await.ok()).await;

            behaviour.send_replace(Mood::Refusing.behaviour());
            let refused = until(async || TcpStream::connect(address).await.err()).await;
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let stranger = TcpSocket::new_v4().expect("a socket");
            let taken = stranger.bind(address).expect_err("the keeper holds it");
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[tokio::test]
    async fn a_door_is_open_as_soon_as_it_is_hung() {
        let behaviour = watch::Sender::new(Mood::Healthy.behaviour());
        let mut door = Door::hang(behaviour.subscribe()).expect("there is a free port");
        let visitor = TcpStream::connect(door.address()).await.expect("nobody waits at it yet");
        assert_eq!(door.accept().await.1, visitor.local_addr().expect("it is connected"));
    }

    /// What `attempt` comes to once the door has heard of the change.
    async fn until<T>(attempt: impl AsyncFn() -> Option<T>) -> T {
        for _ in 0..100_000 {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
        panic!("the door never heard of it");
    }
}
