//! Real clients behind a client stack, and servers that fail them on loopback: what is sent again, and what is not. What
//! reached the server is counted there.

mod amplification;
mod goaway;
mod hyper_util_client;
mod reqwest_client;
mod server;

use std::time::Duration;

use buttress::http::{ClientStack, ClientStackConfig, client_stack};
use buttress::retry::{Backoff, RetryConfig};

use server::{Act, FlakyServer};

/// As soon as asked for.
const AT_ONCE: Act = Act::Busy { retry_after: "0" };
/// Longer than anybody waits.
const IN_AN_HOUR: Act = Act::Busy { retry_after: "3600" };

fn retry() -> RetryConfig {
    RetryConfig::new().backoff(Backoff::constant(Duration::from_millis(1)))
}

fn stack() -> ClientStack {
    client_stack(ClientStackConfig::new().retry(retry())).expect("valid")
}
