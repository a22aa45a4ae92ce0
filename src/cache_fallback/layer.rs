mod read_through;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use tower::Layer;

pub use self::read_through::ReadThroughLayer;
use super::config::{CacheFallbackConfig, InvalidCacheFallback};
use super::future::Plan;
use super::handle::{Clones, Memory, Shared, TypeSize, Unsaid};
use super::memory::MemoryStore;
use super::service::CacheFallback;
use crate::outcome::{ErrorsAreFailures, Kinds, Unmarked};
use crate::serving::Serving;

/// Answers from memory when a call fails; [the module](super) tells the whole story.
///
/// The presets `http_server` and `http_client` choose for HTTP what the setters choose one by one; use them first, then change
/// what differs. What is given to a setter must be `Clone + Send + Sync + 'static`, so that the layer is.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct CacheFallbackLayer<K, V, R = Unsaid, C = ErrorsAreFailures, M = Unmarked> {
    shared: Arc<Shared<K, V>>,
    remember: R,
    classify: C,
    mark: M,
}

impl<K: Eq + Hash + Clone, V> CacheFallbackLayer<K, V> {
    /// A cache fallback with these settings and this memory, which yet has to be told which requests have the same answer.
    ///
    /// # Errors
    ///
    /// [`InvalidCacheFallback`] says which setting cannot work.
    pub fn new(config: CacheFallbackConfig, store: MemoryStore<K, V>) -> Result<Self, InvalidCacheFallback> {
        config.check()?;
        let shared = Arc::new(Shared::new(config, store));
        Ok(Self { shared, remember: Unsaid, classify: ErrorsAreFailures, mark: Unmarked })
    }
}

impl<K, V, R, C, M> CacheFallbackLayer<K, V, R, C, M> {
    /// Remembers clones of answers, under the key that [`key`](crate::KeyOf) finds in the request, such as
    /// `|request: &Request| Some(..)`. A request with `None` has nothing to do with the memory.
    ///
    /// Requests of different people have different keys, unless all may see the same.
    pub fn key<F>(self, key: F) -> CacheFallbackLayer<K, V, Clones<F>, C, M>
    where
        F: Clone + Send + Sync + 'static,
    {
        self.remember(Clones { key, size: TypeSize })
    }

    /// Remembers answers as `remember` says.
    pub fn remember<R2>(self, remember: R2) -> CacheFallbackLayer<K, V, R2, C, M>
    where
        R2: Clone + Send + Sync + 'static,
    {
        let Self { shared, classify, mark, .. } = self;
        CacheFallbackLayer { shared, remember, classify, mark }
    }

    /// Learns from [`classify`](crate::outcome::Classify) what a result means.
    pub fn classify<C2>(self, classify: C2) -> CacheFallbackLayer<K, V, R, C2, M>
    where
        C2: Clone + Send + Sync + 'static,
    {
        let Self { shared, remember, mark, .. } = self;
        CacheFallbackLayer { shared, remember, classify, mark }
    }

    /// Marks answers from memory by way of [`mark`](crate::outcome::MarkDegraded).
    pub fn mark_with<M2>(self, mark: M2) -> CacheFallbackLayer<K, V, R, C, M2>
    where
        M2: Clone + Send + Sync + 'static,
    {
        let Self { shared, remember, classify, .. } = self;
        CacheFallbackLayer { shared, remember, classify, mark }
    }
}

impl<K, V, F, C, M> CacheFallbackLayer<K, V, Clones<F>, C, M> {
    /// Counts an answer for as many bytes as `size` says, such as `|answer: &String| answer.len()`. By itself it counts for
    /// the size of its type, without what it points to, so that the limit of the store holds less than it says.
    pub fn size_of<Z>(self, size: Z) -> CacheFallbackLayer<K, V, Clones<F, Z>, C, M>
    where
        F: Clone + Send + Sync + 'static,
        Z: Clone + Send + Sync + 'static,
    {
        let key = self.remember.key.clone();
        self.remember(Clones { key, size })
    }
}

impl<K: Eq + Hash + Clone, V, R, C, M> CacheFallbackLayer<K, V, R, C, M> {
    /// The hold on what this layer remembers, and all its clones and services.
    #[must_use]
    pub fn memory(&self) -> Memory<K, V> {
        Memory::of(self.shared.clone())
    }
}

impl<S, K, V, R, C, M> Layer<S> for CacheFallbackLayer<K, V, R, C, M>
where
    R: Clone,
    C: Clone,
    M: Clone,
{
    type Service = CacheFallback<S, K, V, R, C, M>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { shared, remember, classify, mark } = self;
        let plan = Plan {
            shared: shared.clone(),
            trigger: Kinds::of(&shared.config.on),
            remember: remember.clone(),
            classify: classify.clone(),
            mark: mark.clone(),
        };
        CacheFallback { inner: Serving::new(inner), plan: Arc::new(plan) }
    }
}

impl<K, V, R: Clone, C: Clone, M: Clone> Clone for CacheFallbackLayer<K, V, R, C, M> {
    fn clone(&self) -> Self {
        let Self { shared, remember, classify, mark } = self;
        Self { shared: shared.clone(), remember: remember.clone(), classify: classify.clone(), mark: mark.clone() }
    }
}

impl<K, V, R, C, M> fmt::Debug for CacheFallbackLayer<K, V, R, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheFallbackLayer").field("name", &self.shared.config.name).finish_non_exhaustive()
    }
}
