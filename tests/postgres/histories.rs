//! Whatever happens to a server and to the instances of an app, each order is carried out once.

use buttress::engines::{Postgres, SqlStore};

use crate::database::{Database, pool};
use crate::support::chaos;
use crate::support::history::History;

/// A server with the table, and how an instance reaches it.
async fn start() -> (Database, impl Fn() -> std::future::Ready<SqlStore<Postgres>>) {
    let database = Database::start().await;
    database.store(1).await;
    let socket = database.folder().to_owned();
    (database, move || std::future::ready(SqlStore::<Postgres>::new(pool(&socket, 4))))
}

async fn disturb(database: &mut Database, history: &History) {
    if history.one_in(2) {
        database.server().signal_all("KILL");
        history.pause(1..3000).await;
        database.up().await;
    } else {
        database.server().signal_all("STOP");
        history.pause(1..4000).await;
        database.server().signal_all("CONT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_order_is_carried_out_once_while_servers_and_instances_crash() {
    let (mut database, connect) = start().await;
    chaos::are_sound(connect, async |history| disturb(&mut database, history).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_are_wrong_are_found_out_meanwhile() {
    let (mut database, connect) = start().await;
    chaos::are_found_out(connect, async |history| disturb(&mut database, history).await).await;
}
