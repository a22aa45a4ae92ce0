//! The rows: what is called, and what it is compared to.

mod breaker;
mod cache_fallback;
mod fallback;
mod http;
mod idempotency;
mod limiter;
#[cfg(feature = "peers")]
mod peers;
mod retry;
mod stack;
mod timeout;

use std::time::Duration;

use crate::calls::{always, through};
use crate::inner::{Answer, Bare, Failed, WaitsOnce};

/// Makes so many calls of a row, within a tokio runtime with timers.
pub type Calls = Box<dyn FnMut(u64)>;

/// Something that is called, built when it is measured.
pub struct Row {
    /// No other row has it.
    pub name: String,
    /// The row of the service without the layer; its own name, if that is what the row is.
    pub bare: &'static str,
    /// The peer that is called; none if it is ours.
    pub peer: Option<&'static str>,
    /// Our rows that this row of a peer stands beside.
    pub beside: Vec<&'static str>,
    make: Box<dyn FnOnce() -> Calls>,
}

impl Row {
    /// Builds what is called, within a tokio runtime with timers.
    #[must_use]
    pub fn make(self) -> Calls {
        (self.make)()
    }
}

/// Every row; a bare one comes before those that are compared to it.
#[must_use]
pub fn all() -> Vec<Row> {
    let mut rows = Rows::default();
    rows.bare(BARE, || through(Bare, always(2), good));
    rows.bare(WAITS_ONCE, || through(WaitsOnce, always(2), good));
    timeout::add(&mut rows);
    breaker::add(&mut rows);
    limiter::add(&mut rows);
    http::add(&mut rows);
    retry::add(&mut rows);
    idempotency::add(&mut rows);
    fallback::add(&mut rows);
    cache_fallback::add(&mut rows);
    stack::add(&mut rows);
    #[cfg(feature = "peers")]
    peers::add(&mut rows);
    rows.0
}

const BARE: &str = "bare";
const WAITS_ONCE: &str = "bare, waits once";

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn bare(&mut self, name: &'static str, make: impl FnOnce() -> Calls + 'static) {
        self.ours(name, name, make);
    }

    fn ours(&mut self, name: &'static str, bare: &'static str, make: impl FnOnce() -> Calls + 'static) {
        self.0.push(Row { name: name.to_owned(), bare, peer: None, beside: Vec::new(), make: Box::new(make) });
    }

    /// The bare row is that of the rows of ours.
    #[cfg(feature = "peers")]
    fn peer(&mut self, peer: &'static str, beside: &[&'static str], make: impl FnOnce() -> Calls + 'static) {
        let of_first = |row: &&Row| row.name == beside[0];
        let bare = self.0.iter().find(of_first).expect("ours come first").bare;
        let name = format!("{peer}: {}", beside[0]);
        self.0.push(Row { name, bare, peer: Some(peer), beside: beside.to_vec(), make: Box::new(make) });
    }
}

fn good(answer: &Answer) -> bool {
    matches!(answer, Ok(2))
}

fn failed(answer: &Answer) -> bool {
    matches!(answer, Err(Failed::Inner(_)))
}
