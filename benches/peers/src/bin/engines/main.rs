//! Measures the engines that records of idempotency are kept in, beside what each of them takes when nothing is recorded.
//! `benches/report/engines.py` runs it.
//!
//! * `engines list`: their names.
//! * `engines run ENGINE`: starts a server, or makes a file, of its own, and prints of every round how many operations there
//!   were in a second.

mod measure;
mod postgres;
mod redis;
mod sqlite;
mod support;

use std::env::args;
use std::error::Error;
use std::sync::Arc;

use tokio::runtime::Runtime;

use self::measure::{measure, measure_scripted};
use self::postgres::OfPostgres;
use self::redis::OfRedis;
use self::sqlite::OfSqlite;

const ENGINES: [&str; 4] = ["Redis", "Redis, appendonly", "SQLite", "Postgres"];

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => ENGINES.iter().for_each(|name| println!("{name}")),
        ["run", name] => Runtime::new()?.block_on(async {
            match name {
                "Redis" => measure_scripted(Arc::new(OfRedis::start(&[]).await)).await,
                "Redis, appendonly" => measure_scripted(Arc::new(OfRedis::start(&["--appendonly", "yes"]).await)).await,
                "SQLite" => measure(Arc::new(OfSqlite::open().await)).await,
                "Postgres" => measure(Arc::new(OfPostgres::start().await)).await,
                _ => return Err(format!("there are: {}", ENGINES.join("; "))),
            }
            Ok(())
        })?,
        _ => return Err("there are: list, run ENGINE".into()),
    }
    Ok(())
}
