//! A shop that goes on selling while its payment provider is slow, out, and back again.
//!
//! ```text
//! cargo run --release --example shop
//! ```
//!
//! Everything is real and in this one process: an order service on axum, a payment provider as a second HTTP server,
//! and two hundred customers who place orders over loopback sockets while the provider goes through a bad day. Some of them
//! click twice, at once or later, and some hang up before they have an answer, and order again:
//!
//! | phase | the provider | what customers should notice |
//! |---|---|---|
//! | calm | answers in 5 ms | nothing: orders are paid |
//! | shaky | answers three requests in ten with a 503 | next to nothing: orders are paid all the same |
//! | slow | takes 2.5 s | orders are answered within the promised second, "pay later" |
//! | outage | 503, or nobody listens | the same, at once; the provider is left alone |
//! | recovery | is well again | orders are paid again, within the breaker's open time and two seconds |
//! | burst | is well | three times as many orders as the shop takes: a third gets in, the others learn when to come back |
//! | all of them | is asked for one charge for each order | who orders again is told that it runs, or what came of it: nothing is sold or charged twice |
//!
//! What makes it so are the layers between a customer and the provider:
//!
//! ```text
//! POST /orders -> limit 1000/s -> door timeout 1 s -> dedup by order_no -> handler -+    orders.rs
//!                                                                                   |
//!   +-------------------------------------------------------------------------------+
//!   |
//!   +-> fallback "pay later" -> total timeout 700 ms -> retry (4 attempts, budget) -+        payments.rs
//!                                                                                   |
//!   +-------------------------------------------------------------------------------+
//!   |
//!   +-> breaker -> attempt timeout 250 ms -> client -> provider
//! ```
//!
//! The run ends with a table, with what the breaker did, and with its promises, each of which speaks for one kind of
//! layer. Take that layer away with `--without timeout`, `--without breaker`, `--without fallback`, `--without limit`,
//! `--without retry` or `--without dedup`, and you see a promise of its own break, and no other. What the retries' budget
//! is for shows where no breaker spares the provider anyway: compare `--without breaker` and `--without breaker,budget`.
//!
//! With `--serve 127.0.0.1:8080` it plays no script: place orders yourself, and change the provider's mood by hand.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | every promise held |
//! | 1 | one was broken |
//! | 2 | the machine was too busy to tell |
//! | 64 | the command line made no sense |
//! | 70 | the shop could not be opened |
//!
//! Where to read on: `payments.rs` and `orders.rs` use this crate, as a service of yours might. `provider.rs` is the
//! other side, `storm.rs` the customers, `script.rs` the phases as data, `record.rs` what is written down meanwhile, and
//! `judge.rs` what the promises are.

#![allow(clippy::disallowed_methods, reason = "the shop runs in real time")]

mod figures;
mod judge;
mod lateness;
mod layers;
mod orders;
mod payments;
mod problem;
mod provider;
mod record;
mod report;
mod script;
mod storm;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::http::Uri;
use clap::Parser;
use tokio::net::TcpListener;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::lateness::Lateness;
use crate::layers::{Layer, Without};
use crate::orders::OrderBook;
use crate::provider::Provider;
use crate::record::{Log, Run};
use crate::report::Progress;
use crate::script::Script;
use crate::storm::Storm;

/// A shop that goes on selling while its payment provider is slow, out, and back again.
#[derive(Debug, Parser)]
struct Options {
    /// Which script to play.
    #[arg(long, value_enum, default_value_t = Script::Full)]
    script: Script,
    /// Take away every layer of these kinds, and see which promise breaks.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LAYERS")]
    without: Vec<Layer>,
    /// End with a line of JSON.
    #[arg(long)]
    json: bool,
    /// Play no script: open the shop at this address, until Ctrl-C.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["script", "json"])]
    serve: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(usage) => {
            // Where it cannot be printed, the exit code says it all.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { 64 } else { 0 });
        }
    };
    let without = Without::new(options.without);
    let done = match options.serve {
        Some(address) => serve(address, &without).await,
        None => play(options.script, &without, options.json).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("shop: {error}");
        ExitCode::from(70)
    })
}

/// Plays the script and judges it.
async fn play(script: Script, without: &Without, json: bool) -> Result<ExitCode, Box<dyn Error>> {
    let log = Log::start();
    let provider = Provider::open()?;
    let open_for = script.open_for();
    let book = OrderBook::default();
    let shop = order_service(&provider, without, open_for, book.clone(), &log)?;
    let shop = open(shop, (Ipv4Addr::LOCALHOST, 0).into()).await?;

    let lateness = Lateness::watch();
    let progress = Progress::show(log.clone(), script.acts());
    let played = Storm::over(shop, log.clone()).play(script.acts(), &provider).await;
    drop(progress);

    let latest_wake = lateness.worst().await;
    let (orders, decisions) = (log.orders().clone(), log.decisions().clone());
    let (calls, switches) = (log.calls().clone(), log.switches().clone());
    let (book, charged) = (book.numbers(), provider.charged());
    let run = Run { played, orders, book, charged, decisions, calls, switches, open_for, latest_wake };
    let verdict = judge::judge(&run);
    report::print(&verdict);
    if json {
        println!("{}", report::json(script, without, &verdict));
    }
    Ok(match verdict {
        verdict if verdict.void.is_some() => ExitCode::from(2),
        verdict if verdict.all_held() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Opens the shop for whoever comes.
async fn serve(address: SocketAddr, without: &Without) -> Result<ExitCode, Box<dyn Error>> {
    // What the layers decide, as they decide it.
    let decisions = fmt::layer().with_writer(std::io::stderr);
    let ours = Targets::new().with_target("buttress", LevelFilter::DEBUG);
    tracing_subscriber::registry().with(decisions.with_filter(ours)).init();

    let provider = Provider::open()?;
    let office = provider.open_back_office().await?;
    let open_for = Script::Full.open_for();
    let shop = order_service(&provider, without, open_for, OrderBook::default(), &Log::start())?;
    let shop = open(shop, address).await?;
    println!("The shop is open at http://{shop}, and its payment provider at http://{}.", provider.address());
    println!("Place an order, send it once more (idempotency-replayed: true, and nothing is charged), make trouble");
    println!("(healthy, slow, shaky, outage, down, refusing), look an order up:\n");
    for _ in 0..2 {
        println!(
            r#"  curl -i http://{shop}/orders -H 'content-type: application/json' -d '{{"order_no":"1","cents":1999}}'"#
        );
    }
    println!("  curl -X PUT http://{office}/behaviour/outage");
    println!("  curl http://{shop}/orders/1\n");
    println!("Ctrl-C closes it.");
    tokio::signal::ctrl_c().await?;
    Ok(ExitCode::SUCCESS)
}

fn order_service(
    provider: &Provider,
    without: &Without,
    open_for: Duration,
    book: OrderBook,
    log: &Log,
) -> Result<Router, Box<dyn Error>> {
    let charges = Uri::try_from(format!("http://{}/charges", provider.address()))?;
    let payments = payments::payments(without, open_for, log.clone())?;
    orders::order_service(without, payments, charges, book, log.clone())
}

/// Serves the router in the background, and returns where.
async fn open(router: Router, address: SocketAddr) -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(address)
}
