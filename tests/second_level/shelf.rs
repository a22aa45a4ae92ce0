//! A store in this process, which can be cut off, made to wait, and counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buttress::cache_fallback::{Entry, Found, Store};
use buttress::clock::Moment;
use tokio::sync::Semaphore;

#[derive(Clone)]
pub(crate) struct Shelf(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Who asks passes with a permit.
    gets: Semaphore,
    /// The same for who puts or forgets.
    tells: Semaphore,
}

#[derive(Default)]
struct State {
    known: HashMap<Vec<u8>, Vec<Put>>,
    is_down: bool,
    asked: u32,
    put: u32,
    forgotten: Vec<Vec<u8>>,
    forgotten_all: u32,
}

#[derive(Clone)]
struct Put {
    entry: Entry,
    at: Moment,
}

impl Put {
    fn age(&self, now: Moment) -> Duration {
        self.entry.age + now.since(self.at)
    }
}

#[derive(Debug)]
pub(crate) struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("down")
    }
}

impl std::error::Error for Down {}

impl Shelf {
    pub(crate) fn new() -> Self {
        let [gets, tells] = [(); 2].map(|()| Semaphore::new(Semaphore::MAX_PERMITS));
        Self(Arc::new(Inner { state: Mutex::default(), gets, tells }))
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.0.state.lock().expect("no panic"))
    }

    pub(crate) fn is_down(&self, is_down: bool) {
        self.with(|state| state.is_down = is_down);
    }

    /// Holds up who asks, from now on.
    pub(crate) fn hold_gets(&self) {
        self.0.gets.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn let_gets(&self) {
        self.0.gets.add_permits(1000);
    }

    /// Holds up who puts or forgets, from now on.
    pub(crate) fn hold_tells(&self) {
        self.0.tells.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn let_tells(&self) {
        self.0.tells.add_permits(1000);
    }

    pub(crate) fn asked(&self) -> u32 {
        self.with(|state| state.asked)
    }

    pub(crate) fn put(&self) -> u32 {
        self.with(|state| state.put)
    }

    pub(crate) fn keys(&self) -> usize {
        self.with(|state| state.known.len())
    }

    pub(crate) fn forgotten(&self) -> (usize, u32) {
        self.with(|state| (state.forgotten.len(), state.forgotten_all))
    }

    /// What is known of a key is these bytes, which nobody here has written.
    pub(crate) fn spoil(&self, key: &[u8], spoil: impl Fn(&[u8]) -> Vec<u8>) {
        self.with(|state| {
            for Put { entry, .. } in state.known.get_mut(key).expect("it is known") {
                entry.bytes = spoil(&entry.bytes).into();
            }
        });
    }

    /// The entries under a key.
    pub(crate) fn entries(&self, key: &[u8]) -> Vec<Entry> {
        self.with(|state| state.known.get(key).into_iter().flatten().map(|put| put.entry.clone()).collect())
    }

    async fn pass(&self, gate: &Semaphore) -> Result<(), Down> {
        gate.acquire().await.expect("it stays open").forget();
        if self.with(|state| state.is_down) { Err(Down) } else { Ok(()) }
    }
}

/// What it was told is there until it is told otherwise: what has come to an end, and what comes late, is for whoever asks to see.
impl Store for Shelf {
    type Error = Down;

    async fn get(&self, key: &[u8]) -> Result<Vec<Found>, Down> {
        // What it says is from before it says so.
        let found = self.with(|state| {
            state.asked += 1;
            state.known.get(key).cloned().unwrap_or_default()
        });
        self.pass(&self.0.gets).await?;
        let now = Moment::now();
        Ok(found.into_iter().map(|put| Found { age: put.age(now), bytes: put.entry.bytes }).collect())
    }

    async fn put(&self, key: &[u8], entry: Entry) -> Result<(), Down> {
        let at = Moment::now();
        self.pass(&self.0.tells).await?;
        self.with(|state| {
            state.put += 1;
            let known = state.known.entry(key.to_vec()).or_default();
            known.retain(|other| entry.variant.is_some() && other.entry.variant != entry.variant);
            known.push(Put { entry, at });
        });
        Ok(())
    }

    async fn forget(&self, key: &[u8], age: Duration) -> Result<(), Down> {
        let now = Moment::now();
        self.pass(&self.0.tells).await?;
        self.with(|state| {
            state.forgotten.push(key.to_vec());
            if let Some(known) = state.known.get_mut(key) {
                known.retain(|put| put.age(now) < age);
            }
        });
        Ok(())
    }

    async fn forget_all(&self) -> Result<(), Down> {
        self.pass(&self.0.tells).await?;
        self.with(|state| {
            state.forgotten_all += 1;
            state.known.clear();
        });
        Ok(())
    }
}
