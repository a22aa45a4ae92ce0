//! Records in Redis hold what every engine has to, and answers are kept for others, on servers that are killed, frozen, full and
//! emptied.
//!
//! The server is `redis-server`, or the one that `BUTTRESS_REDIS_SERVER` names; `scripts/test-redis` has others.

mod answers;
mod full;
mod histories;
mod outages;
mod permissions;
mod processes;
mod proxy;
mod record;
mod records;
mod replicas;
mod responses;
mod second_level;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::sync::Arc;
use std::time::Duration;

use buttress::conformance::idempotency;
use buttress::idempotency::{Begin, Store};
use redis::{Client, ProtocolVersion};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use self::server::{ON_DISK, Redis};
use self::world::{claim, key};

#[tokio::test]
async fn records_in_redis_conform() {
    let redis = Redis::start(&[]).await;
    idempotency::check(&redis.store().await).await;
}

#[tokio::test]
async fn records_over_the_newer_protocol_conform() {
    let redis = Redis::start(&[]).await;
    let client = Client::open(format!("redis+unix://{}?protocol=resp3", redis.socket().display())).expect("an address");
    assert_eq!(client.get_connection_info().redis_settings().protocol(), ProtocolVersion::RESP3);
    idempotency::check(&server::store(&client, Duration::from_secs(60)).await).await;
}

#[tokio::test]
async fn of_32_racers_over_two_connections_one_wins_each_round() {
    one_wins_each_round(&[]).await;
}

#[tokio::test]
async fn of_32_racers_one_wins_each_round_while_the_server_writes_to_its_disk() {
    one_wins_each_round(ON_DISK).await;
}

async fn one_wins_each_round(settings: &[&str]) {
    let redis = Redis::start(settings).await;
    // Two connections are what a server sees of two processes.
    let stores = [redis.store().await, redis.store().await];
    for round in 0..100 {
        let start = Arc::new(Barrier::new(32));
        let mut racers = JoinSet::new();
        for racer in 0..32 {
            let (store, start) = (stores[racer % 2].clone(), start.clone());
            racers.spawn(async move {
                start.wait().await;
                store.begin(&key(round), claim()).await.expect("it answers")
            });
        }
        let begun = racers.join_all().await;
        let won = begun.iter().filter(|begin| matches!(begin, Begin::Acquired(_))).count();
        let runs = begun.iter().filter(|begin| matches!(begin, Begin::Running { .. })).count();
        assert_eq!((won, runs), (1, 31), "round {round}: {begun:?}");
    }
}
