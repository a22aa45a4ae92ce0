//! Records in Redis hold what every engine has to, on servers that are killed, frozen, full and emptied.

mod server;
#[path = "../support/mod.rs"]
mod support;

use buttress::conformance::idempotency;

use self::server::Redis;

#[tokio::test]
async fn records_in_redis_conform() {
    let redis = Redis::start(&[]).await;
    idempotency::check(&redis.store().await).await;
}
