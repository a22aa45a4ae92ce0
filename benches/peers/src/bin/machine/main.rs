//! Measures what takes more than one call at a time: two threads at one object, and an axum server. `benches/report/machine.py`
//! runs it.
//!
//! * `machine threads`: how much faster two threads are than one.
//! * `machine servers`: the names of the servers.
//! * `machine serve SERVER`: serves on a port that it prints, until its input ends.
//! * `machine requests SERVER NUMBER`: answers so many requests without leaving the process.

mod bare;
mod requests;
mod serve;
mod servers;
mod threads;

use std::env::args;
use std::error::Error;

use tokio::runtime::{Builder, Runtime};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let words: Vec<_> = args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["threads"] => threads::compare(),
        ["servers"] => servers::names().for_each(|name| println!("{name}")),
        ["serve", name] => serve::until_input_ends(servers::named(name)?)?,
        ["requests", name, number] => requests::answer(servers::named(name)?, number.parse()?)?,
        _ => return Err("there are: threads, servers, serve SERVER, requests SERVER NUMBER".into()),
    }
    Ok(())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
