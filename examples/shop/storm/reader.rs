//! Readers of products: one after the other at a steady rate, whether or not those before have an answer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::Client;
use super::{due_from, is_overdue};
use crate::catalogue::PRODUCTS;
use crate::record::Log;
use crate::script::READS;

/// Has the products read in turn until the storm is over, and returns when all is answered. Who finds no connection free makes
/// another one, so that nobody waits for anybody.
pub(super) async fn read_in_turn(shop: SocketAddr, log: Log, mut is_over: oneshot::Receiver<()>) {
    let (back, mut free) = mpsc::unbounded_channel();
    let mut readers = JoinSet::new();
    let mut reads_due = due_from(log.now(), READS).peekable();
    loop {
        let now = log.now();
        while let Some(due) = reads_due.next_if(|due| *due <= now) {
            if is_overdue(due, now) {
                log.overslept_read(due);
                continue;
            }
            let mut client = free.try_recv().unwrap_or_else(|_| Client::new(shop));
            let (read, log, back) = (log.asked(), log.clone(), back.clone());
            readers.spawn(async move {
                if let Ok(shown) = client.read(product(read), &log).await {
                    log.shown(read, shown);
                }
                // Nobody waits for it any more once the storm is over.
                let _ = back.send(client);
            });
        }
        tokio::select! {
            _ = &mut is_over => break,
            () = sleep(Duration::from_millis(1)) => {}
        }
    }
    readers.join_all().await;
}

fn product(read: usize) -> u32 {
    (1..=PRODUCTS).cycle().nth(read % PRODUCTS as usize).expect("there are products")
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::Ipv4Addr;

    use axum::extract::Path;
    use axum::routing::get;
    use axum::{Json, Router};
    use tokio::net::TcpListener;

    use super::*;
    use crate::catalogue::Product;

    /// Never shows the first product.
    async fn shop() -> SocketAddr {
        let product = async |Path(id): Path<u32>| match id {
            1 => pending().await,
            id => Json(Product { id, as_of: Duration::ZERO }),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(axum::serve(listener, Router::new().route("/products/{id}", get(product))).into_future());
        address
    }

    #[tokio::test]
    async fn all_products_are_read_in_turn_although_one_is_never_shown() {
        let log = Log::start();
        let (_over, is_over) = oneshot::channel();
        let reading = tokio::spawn(read_in_turn(shop().await, log.clone(), is_over));
        let twice = 2 * PRODUCTS as usize;
        let shown = || log.reads().iter().take(twice).filter(|read| read.shown.is_some()).count();
        while shown() < twice - 2 {
            sleep(Duration::from_millis(1)).await;
        }
        reading.abort();
        let not_shown: Vec<_> = log.reads()[..twice].iter().map(|read| read.shown.is_none()).collect();
        let first_of_each_turn: Vec<_> = (0..twice).map(|read| read % PRODUCTS as usize == 0).collect();
        assert_eq!(not_shown, first_of_each_turn);
    }

    #[tokio::test]
    async fn reading_ends_with_the_storm_and_when_all_is_answered() {
        let log = Log::start();
        let (over, is_over) = oneshot::channel();
        // As if the first product had been asked for already.
        log.asked();
        let reading = tokio::spawn(read_in_turn(shop().await, log.clone(), is_over));
        while log.reads().len() < 4 {
            sleep(Duration::from_millis(1)).await;
        }
        drop(over);
        reading.await.expect("nobody panicked");
        assert!(log.reads()[1..].iter().all(|read| read.shown.is_some()));
    }
}
