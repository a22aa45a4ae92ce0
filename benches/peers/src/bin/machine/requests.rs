use std::future::pending;
use std::io;

use axum::Router;
use axum::serve::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::{Outcome, runtime};

/// As `wrk` writes it.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

const WARM_UP: u32 = 200;

/// One connection of a server as axum runs it, on which one request follows the other.
pub(crate) fn answer(router: Router, number: u32) -> Outcome {
    let runtime = runtime();
    let (client, server) = duplex(4096);
    runtime.spawn(async { axum::serve(OneConnection(Some(server)), router).await });
    let mut client = Client { connection: client, answer: vec![0; 4096] };
    runtime.block_on(async {
        client.connection.write_all(REQUEST).await?;
        // It comes in one piece, since it fits.
        let length = client.connection.read(&mut client.answer).await?;
        client.answer.truncate(length);
        client.ask(WARM_UP).await
    })?;
    batch(&mut || runtime.block_on(client.ask(number)))
}

/// Whatever it executes is counted, and nothing else: how `governor` sets its clock takes as long as it takes.
#[inline(never)]
fn batch(requests: &mut dyn FnMut() -> Outcome) -> Outcome {
    requests()
}

/// Of all that is counted it is the copying.
struct Client {
    connection: DuplexStream,
    /// As long as the first one was.
    answer: Vec<u8>,
}

impl Client {
    async fn ask(&mut self, number: u32) -> Outcome {
        for _ in 0..number {
            self.connection.write_all(REQUEST).await?;
            self.connection.read_exact(&mut self.answer).await?;
            if !self.answer.starts_with(b"HTTP/1.1 200 OK\r\n") || !self.answer.ends_with(b"\r\n\r\nhello") {
                return Err("the server answered something else".into());
            }
        }
        Ok(())
    }
}

struct OneConnection(Option<DuplexStream>);

impl Listener for OneConnection {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.take() {
            Some(connection) => (connection, ()),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}
