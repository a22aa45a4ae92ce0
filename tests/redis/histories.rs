//! Whatever happens to a server and to the instances of an app, each order is carried out once.

use std::time::Duration;

use buttress::engines::redis::{Connection, RedisStore};
use redis::Client;
use tokio::time::sleep;

use crate::server::{ON_DISK, Redis, try_store};
use crate::support::chaos;
use crate::support::history::History;
use crate::world::PATIENCE;

async fn connect(client: Client) -> RedisStore<Connection> {
    loop {
        match try_store(&client, PATIENCE).await {
            Ok(store) => return store,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn disturb(redis: &mut Redis, history: &History) {
    if history.one_in(2) {
        redis.kill();
        history.pause(1..3000).await;
        redis.start_again().await;
    } else {
        redis.signal("STOP");
        history.pause(1..4000).await;
        redis.signal("CONT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_order_is_carried_out_once_while_servers_and_instances_crash() {
    let mut redis = Redis::start(ON_DISK).await;
    let client = redis.client();
    chaos::are_sound(|| connect(client.clone()), async |history| disturb(&mut redis, history).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_are_wrong_are_found_out_meanwhile() {
    let mut redis = Redis::start(ON_DISK).await;
    let client = redis.client();
    chaos::are_found_out(|| connect(client.clone()), async |history| disturb(&mut redis, history).await).await;
}
