use std::future::Future;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quick_cache::DefaultHashBuilder;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::answer::Answer;
use super::doubts::{About, Doubts};
use super::last_puts::{LastPuts, What};
use crate::cache_fallback::state::Allowed;
use crate::cache_fallback::store::{Codec, Entry, Found, Store, Written};
use crate::clock::Moment;
use crate::telemetry;

/// So many answers are on their way at a time. One that does not fit is not put: the next one will be.
const MOST_PUT: usize = 64;

/// So much is being forgotten at a time.
const MOST_FORGOTTEN: usize = 1024;

/// An answer that was found elsewhere.
#[derive(Debug)]
pub(in super::super) struct Elsewhere<V> {
    pub(in super::super) value: V,
    /// With its age then.
    pub(in super::super) allowed: Allowed,
    pub(in super::super) asked_at: Moment,
    pub(in super::super) found_at: Moment,
    pub(in super::super) bytes: u64,
}

pub(in super::super) type Finding<V> = Pin<Box<dyn Future<Output = Vec<Elsewhere<V>>> + Send>>;

/// What a memory knows of the level behind it, whichever that is.
pub(in super::super) trait SecondLevel<K, V>: Send + Sync {
    /// The answers under a key; none, if it cannot be asked.
    fn get(&self, key: &K) -> Finding<V>;

    /// Whether one answer is found in the place of another.
    fn replaces(&self, one: &V, other: &V) -> bool;

    /// Puts an answer there, later, if there is room, and none like it has just been put. It returns at once, as do those below.
    fn put(&self, key: &K, answer: Arc<Answer<V>>, allowed: Allowed, keep_for: Duration);

    /// Forgets what has been asked for by then.
    fn forget(&self, key: &K, asked_by: Moment);

    fn forget_all(&self);
}

/// A store, and what it takes to use it.
pub(super) struct Backed<S, C>(Arc<Inner<S, C>>);

struct Inner<S, C> {
    store: S,
    codec: C,
    doubts: Doubts,
    last: Arc<LastPuts>,
    hasher: DefaultHashBuilder,
    puts: Arc<Semaphore>,
    forgets: Arc<Semaphore>,
    /// Where it was first used, for who forgets something from a thread without one.
    runtime: OnceLock<Handle>,
}

impl<S, C> Backed<S, C> {
    pub(super) fn new(store: S, codec: C) -> Self {
        let [puts, forgets] = [MOST_PUT, MOST_FORGOTTEN].map(|most| Arc::new(Semaphore::new(most)));
        let (doubts, hasher) = (Doubts::none(), DefaultHashBuilder::default());
        let (last, runtime) = (LastPuts::none(), OnceLock::new());
        let this = Inner { store, codec, doubts, last, hasher, puts, forgets, runtime };
        _ = this.runtime();
        Self(Arc::new(this))
    }
}

impl<S, C> Inner<S, C> {
    fn runtime(&self) -> Option<Handle> {
        match Handle::try_current() {
            Ok(runtime) => {
                self.runtime.get_or_init(|| runtime.clone());
                Some(runtime)
            }
            Err(_) => self.runtime.get().cloned(),
        }
    }

    /// Runs a task, if there is a runtime for it, and room.
    fn in_background(
        &self,
        room: &Arc<Semaphore>,
        what: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let Some(runtime) = self.runtime() else {
            return telemetry::second_level_not_told(what, "there is no runtime");
        };
        let Ok(place) = room.clone().try_acquire_owned() else {
            return telemetry::second_level_not_told(what, "too much is under way");
        };
        runtime.spawn(telemetry::in_this_span(async move {
            let _place = place;
            task.await;
        }));
    }
}

impl<S: Store, C> Inner<S, C> {
    /// What is not believed until `forgets` has been carried out.
    fn forget<F>(self: &Arc<Self>, about: About, asked_by: Moment, forgets: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = Result<(), S::Error>> + Send + 'static,
        C: Send + Sync + 'static,
    {
        let doubt = self.doubts.raise(about, asked_by);
        let (this, forgets) = (self.clone(), forgets(self.clone()));
        self.in_background(&self.forgets, "forget", async move {
            match forgets.await {
                Ok(()) => this.doubts.settle(&doubt),
                Err(error) => telemetry::second_level_failed("forget", &error),
            }
        });
    }
}

impl<K, V, S, C> SecondLevel<K, V> for Backed<S, C>
where
    V: Send + Sync + 'static,
    S: Store,
    C: Codec<K, V>,
    K: 'static,
{
    fn get(&self, key: &K) -> Finding<V> {
        let (this, key) = (self.0.clone(), self.0.codec.key(key).into_owned());
        let place = this.doubts.place(this.hasher.hash_one(&*key));
        // Now: what is being forgotten may have been by the time of the answer, and found before. What is forgotten from now on the
        // memory knows of.
        let believed_since = this.doubts.believed_since(place);
        Box::pin(async move {
            // An answer is as old as it can be: from before it was asked for here.
            let found_at = Moment::now();
            let found = match this.store.get(&key).await {
                Ok(found) => found,
                Err(error) => {
                    telemetry::second_level_failed("get", &error);
                    return Vec::new();
                }
            };
            let read = |Found { age, bytes }| {
                let asked_at = found_at.before(age);
                if asked_at < believed_since {
                    return None;
                }
                let Written { mut allowed, weight, answer } = Written::decode(bytes)?;
                allowed.age = allowed.age.saturating_add(age);
                // Whoever has written it may count otherwise.
                let bytes = weight.max(answer.len() as u64);
                let value = this.codec.decode(answer)?;
                Some(Elsewhere { value, allowed, asked_at, found_at, bytes })
            };
            found.into_iter().filter_map(read).collect()
        })
    }

    fn replaces(&self, one: &V, other: &V) -> bool {
        let variant = self.0.codec.variant(one);
        variant.is_none() || variant == self.0.codec.variant(other)
    }

    fn put(&self, key: &K, answer: Arc<Answer<V>>, allowed: Allowed, keep_for: Duration) {
        let this = self.0.clone();
        let (key, variant) = (this.codec.key(key), this.codec.variant(&answer.value));
        let terms = (allowed.fresh, allowed.stale_while_revalidate, allowed.stale_if_error);
        let [hash, terms] = [this.hasher.hash_one(&*key), this.hasher.hash_one(terms)];
        let Some(putting) = this.last.begin(What { key: hash, variant, terms, asked_at: answer.asked_at }) else {
            return;
        };
        let key = key.into_owned();
        self.0.in_background(&self.0.puts, "put", async move {
            if answer.asked_at < this.doubts.believed_since(this.doubts.place(hash)) {
                return;
            }
            let Some(written) = this.codec.encode(&answer.value) else { return };
            let bytes = Written { allowed, weight: answer.bytes, answer: written }.encode();
            let age = Moment::now().since(answer.asked_at);
            drop(answer);
            match this.store.put(&key, Entry { variant, bytes, age, keep_for }).await {
                Ok(()) => putting.done(),
                Err(error) => telemetry::second_level_failed("put", &error),
            }
        });
    }

    fn forget(&self, key: &K, asked_by: Moment) {
        let key = self.0.codec.key(key).into_owned();
        let hash = self.0.hasher.hash_one(&*key);
        self.0.last.forget(hash, asked_by);
        self.0.forget(About::Keys(self.0.doubts.place(hash)), asked_by, |this| async move {
            this.store.forget(&key, Moment::now().since(asked_by)).await
        });
    }

    fn forget_all(&self) {
        let asked_by = Moment::now();
        self.0.last.forget_all(asked_by);
        self.0.forget(About::All, asked_by, |this| async move { this.store.forget_all().await });
    }
}
