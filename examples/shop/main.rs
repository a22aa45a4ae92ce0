//! A shop that goes on selling while its payment provider is slow, out, and back again.
//!
//! ```text
//! cargo run --release --example shop
//! ```
//!
//! Everything is real, and in this one process unless you say `--crash`: an order service on axum, a payment provider and a product
//! catalogue as HTTP servers of their own, and two hundred customers who place orders over loopback sockets while the provider goes
//! through a bad day. Some of them click twice, at once or later, and some hang up before they have an answer, and order again.
//! Others only look: all the while a hundred products a second are read.
//!
//! | phase | the provider | what customers should notice |
//! |---|---|---|
//! | calm | answers in 5 ms | nothing: orders are paid |
//! | shaky | answers three requests in ten with a 503 | next to nothing: orders are paid all the same |
//! | slow | takes 2.5 s | orders are answered within the promised second, "pay later" |
//! | outage | 503, or nobody listens; so with the catalogue | the same, at once; the provider is left alone. Products are shown as they were |
//! | recovery | is well again | orders are paid again, within the breaker's open time and two seconds; products are fresh again |
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
//! and those between a reader and the catalogue:
//!
//! ```text
//! GET /products/{id} -> door timeout 1 s -> handler -+                                   products.rs
//!                                                    |
//!   +------------------------------------------------+
//!   |
//!   +-> cache fallback 30 s -> breaker -> attempt timeout 250 ms -> client -> catalogue
//! ```
//!
//! The run ends with a table, with what the breaker did, and with its promises, each of which speaks for one kind of
//! layer. Take that layer away with `--without timeout`, `--without breaker`, `--without fallback`, `--without limit`,
//! `--without retry`, `--without dedup` or `--without cache`, and you see a promise of its own break, and no other. What the
//! retries' budget is for shows where no breaker spares the provider anyway: compare `--without breaker` and
//! `--without breaker,budget`.
//!
//! Which orders are run is recorded in memory, or by `--store sqlite:FILE`, `postgres:URL` or `redis:URL` where it outlives
//! the order service; these need a build with the feature of that name. See what that is for with `--crash`: then the order
//! service is a process of its own, which is killed four times while orders are run, and started again. What was running is
//! taken over by whoever sends it again, and still no order is entered or charged twice; but with records in memory, which
//! are gone with the process, some are entered twice. What is shown of products is not judged then: the memory of them dies with
//! the process.
//!
//! ```text
//! cargo run --release --features sqlite --example shop -- --crash --store sqlite:orders.records
//! ```
//!
//! With `--serve 127.0.0.1:8080` it plays no script: place orders yourself, and change the moods of provider and catalogue by hand.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | every promise held |
//! | 1 | one was broken |
//! | 2 | the machine was too busy to tell |
//! | 64 | the command line made no sense, or asks for a store that this shop is built without |
//! | 70 | the shop could not be opened |
//!
//! Where to read on: `payments.rs`, `orders.rs` and `products.rs` use this crate, as a service of yours might. `provider.rs` and
//! `catalogue.rs` are the other side, `storm.rs` the customers, `script.rs` the phases as data, `record.rs` what is written
//! down meanwhile, and `judge.rs` what the promises are. `store.rs` opens the stores, and `process.rs` is what crashes.

#![allow(clippy::disallowed_methods, reason = "the shop runs in real time")]

mod catalogue;
mod client;
mod figures;
mod judge;
mod lateness;
mod layers;
mod orders;
mod payments;
mod port;
mod problem;
mod process;
mod products;
mod provider;
mod record;
mod report;
mod script;
mod store;
mod storm;
mod upstream;

use std::io;
use std::iter::successors;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use axum::Router;
use axum::http::Uri;
use buttress::BoxError;
use buttress::idempotency::MemoryStore;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::lateness::Lateness;
use crate::layers::{Layer, Without};
use crate::orders::{Book, OrderBook, OrderService, RECORDS};
use crate::port::Port;
use crate::process::{Addresses, Process, Surroundings};
use crate::provider::Provider;
use crate::record::{Crash, Log, Played, Run};
use crate::report::Progress;
use crate::script::{Phase, Script};
use crate::store::{Records, postgres, redis, sqlite};
use crate::storm::Storm;
use crate::upstream::Upstream;

/// A shop that goes on selling while its payment provider is slow, out, and back again.
#[derive(Debug, Parser)]
struct Options {
    /// Which script to play.
    #[arg(long, value_enum, default_value_t = Script::Full)]
    script: Script,
    /// Take away every layer of these kinds, and see which promise breaks.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LAYERS")]
    without: Vec<Layer>,
    /// Where to record which orders are run: memory, or if the shop is built with that feature sqlite:FILE, postgres:URL or
    /// redis:URL.
    #[arg(long, default_value_t = Records::Memory)]
    store: Records,
    /// Kill the order service while orders are run, several times, and start it again.
    #[arg(long)]
    crash: bool,
    /// End with a line of JSON.
    #[arg(long)]
    json: bool,
    /// Play no script: open the shop at this address, until Ctrl-C.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["script", "crash", "json"])]
    serve: Option<SocketAddr>,
    /// Be the order service of another process, which crashes it.
    #[arg(long, hide = true)]
    order_service: Option<Surroundings>,
}

impl Options {
    fn without(&self) -> Without {
        Without::new(self.without.clone())
    }

    /// What concerns the order service, for one in another process.
    fn arguments(&self) -> Vec<String> {
        let without = self.without.iter().flat_map(|layer| ["--without".to_owned(), layer.to_string()]);
        let others = ["--script", self.script.name(), "--store"].map(String::from);
        others.into_iter().chain([self.store.to_string()]).chain(without).collect()
    }
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
    let done = match &options {
        Options { order_service: Some(surroundings), .. } => serve_alone(&options, surroundings).await,
        Options { serve: Some(address), .. } => serve(&options, *address).await,
        _ => play(&options).await,
    };
    done.unwrap_or_else(|error| {
        let causes: String = successors(error.source(), |cause| cause.source()).map(|why| format!(": {why}")).collect();
        eprintln!("shop: {error}{causes}");
        ExitCode::from(70)
    })
}

/// The servers of others that the shop depends on.
struct Upstreams {
    provider: Provider,
    catalogue: Upstream,
}

impl Upstreams {
    fn open(log: &Log) -> io::Result<Self> {
        Ok(Self { provider: Provider::open()?, catalogue: catalogue::open(log.clone())? })
    }

    fn addresses(&self) -> Addresses {
        Addresses { provider: self.provider.upstream.address(), catalogue: self.catalogue.address() }
    }

    /// They fare as they do in this phase.
    fn turn(&self, phase: Phase) {
        self.provider.upstream.turns(phase.provider());
        self.catalogue.turns(phase.catalogue());
    }
}

/// Plays the script and judges it.
async fn play(options: &Options) -> Result<ExitCode, BoxError> {
    let Options { script, store, .. } = options;
    let log = Log::start();
    let upstreams = Upstreams::open(&log)?;
    let book = OrderBook::default();

    let lateness = Lateness::watch();
    let progress = Progress::show(log.clone(), script.acts());
    let (played, crashes) = if options.crash {
        let (played, crashes) = storm_and_crash(options, &upstreams, &book, &log).await?;
        (played, Some(crashes))
    } else {
        (storm(options, &upstreams, &book, &log).await?, None)
    };
    drop(progress);

    let latest_wake = lateness.worst().await;
    let (orders, decisions) = (log.orders().clone(), log.decisions().clone());
    let (calls, switches) = (log.calls().clone(), log.switches().clone());
    let (reads, reads_overslept) = (log.reads().clone(), log.reads_overslept().clone());
    let run = Run {
        played,
        orders,
        book: book.numbers(),
        charged: upstreams.provider.charged(),
        decisions,
        calls,
        switches,
        reads,
        reads_overslept,
        crashes,
        taken_over: book.taken_over(),
        open_for: script.open_for(),
        latest_wake,
    };
    let verdict = judge::judge(&run);
    report::print(&verdict);
    if options.json {
        println!("{}", report::json(*script, store, &options.without(), &verdict));
    }
    Ok(match verdict {
        verdict if verdict.void.is_some() => ExitCode::from(2),
        verdict if verdict.all_held() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Plays the script over an order service in this process.
async fn storm(options: &Options, upstreams: &Upstreams, book: &OrderBook, log: &Log) -> Result<Vec<Played>, BoxError> {
    let shop = order_service(options, upstreams.addresses(), book.clone().into(), tenant_of_a_run(), log).await?;
    let shop = open(shop, (Ipv4Addr::LOCALHOST, 0).into()).await?;
    let storm = Storm::over(shop, log.clone());
    Ok(storm.play(options.script.acts(), |phase| upstreams.turn(phase)).await)
}

/// Plays the script over an order service in a process of its own, which crashes in the middle of it.
async fn storm_and_crash(
    options: &Options,
    upstreams: &Upstreams,
    book: &OrderBook,
    log: &Log,
) -> Result<(Vec<Played>, Vec<Crash>), BoxError> {
    let port = Port::keep()?;
    let surroundings = Surroundings {
        shop: port.address(),
        upstreams: upstreams.addresses(),
        book: book.lend().await?,
        tenant: tenant_of_a_run(),
    };
    let process = Process::start(&surroundings, options.arguments()).await?;
    let (begins, begun) = mpsc::unbounded_channel();
    let storm = Storm::over(port.address(), log.clone()).play(options.script.acts(), move |phase| {
        upstreams.turn(phase);
        // Nobody hears it where the service could not be started again, and that is said at the end.
        let _ = begins.send(phase);
    });
    let (played, crashes) = tokio::join!(storm, process.crash(begun, book, log));
    Ok((played, crashes?))
}

/// Each run numbers its orders from the beginning, and a store may remember those of others.
fn tenant_of_a_run() -> String {
    format!("run {:032x}", fastrand::u128(..))
}

/// Is such a process.
async fn serve_alone(options: &Options, surroundings: &Surroundings) -> Result<ExitCode, BoxError> {
    let Surroundings { shop, upstreams, book, tenant } = surroundings;
    let service = order_service(options, *upstreams, Book::lent_at(*book), tenant.clone(), &Log::start()).await?;
    process::serve(service, *shop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the shop for whoever comes.
async fn serve(options: &Options, address: SocketAddr) -> Result<ExitCode, BoxError> {
    // What the layers decide, as they decide it.
    let decisions = fmt::layer().with_writer(std::io::stderr);
    let ours = Targets::new().with_target("buttress", LevelFilter::DEBUG);
    tracing_subscriber::registry().with(decisions.with_filter(ours)).init();

    let log = Log::start();
    let upstreams = Upstreams::open(&log)?;
    let provider_office = upstreams.provider.upstream.open_back_office().await?;
    let catalogue_office = upstreams.catalogue.open_back_office().await?;
    let book = OrderBook::default().into();
    let shop = order_service(options, upstreams.addresses(), book, "shop".into(), &log).await?;
    let shop = open(shop, address).await?;
    let Addresses { provider, catalogue } = upstreams.addresses();
    println!("The shop is open at http://{shop}, its payment provider at http://{provider}, and its product catalogue");
    println!("at http://{catalogue}. Place an order, send it once more (idempotency-replayed: true, and nothing is");
    println!(
        "charged), read a product, make trouble (healthy, slow, shaky, outage, down, refusing), look an order up, read"
    );
    println!("the product once more (age, cache-status):\n");
    for _ in 0..2 {
        println!(
            r#"  curl -i http://{shop}/orders -H 'content-type: application/json' -d '{{"order_no":"1","cents":1999}}'"#
        );
    }
    println!("  curl http://{shop}/products/7");
    println!("  curl -X PUT http://{provider_office}/behaviour/outage");
    println!("  curl -X PUT http://{catalogue_office}/behaviour/outage");
    println!("  curl http://{shop}/orders/1");
    println!("  curl -i http://{shop}/products/7\n");
    println!("Ctrl-C closes it.");
    tokio::signal::ctrl_c().await?;
    Ok(ExitCode::SUCCESS)
}

/// The order service over the store that the options say.
async fn order_service(
    options: &Options,
    upstreams: Addresses,
    book: Book,
    tenant: String,
    log: &Log,
) -> Result<Router, BoxError> {
    let without = options.without();
    let charges = Uri::try_from(format!("http://{}/charges", upstreams.provider))?;
    let payments = payments::payments(&without, options.script.open_for(), log.clone())?;
    let products = products::router(&without, upstreams.catalogue)?;
    let service = OrderService { without, tenant, payments, charges, products, book, log: log.clone() };
    match &options.store {
        Records::Memory => service.over(MemoryStore::new(RECORDS)),
        Records::Sqlite(file) => service.over(sqlite::open(file).await?),
        Records::Postgres(url) => service.over(postgres::open(url).await?),
        Records::Redis(url) => service.over(redis::open(url).await?),
    }
}

/// Serves the router in the background, and returns where.
async fn open(router: Router, address: SocketAddr) -> Result<SocketAddr, BoxError> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(address)
}
