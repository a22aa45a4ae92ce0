use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use tower::Layer;

use super::CacheFallbackLayer;
use crate::cache_fallback::config::{InvalidReadThrough, ReadThroughConfig};
use crate::cache_fallback::future::Through;
use crate::cache_fallback::handle::{Memory, Unsaid};
use crate::cache_fallback::service::ReadThrough;
use crate::outcome::{ErrorsAreFailures, Unmarked};

/// Tells answers that are fresh without asking, and asks once for all who ask at the same time; made by
/// [`CacheFallbackLayer::read_through`]. Whatever is said of that holds here too.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct ReadThroughLayer<K, V, R = Unsaid, C = ErrorsAreFailures, M = Unmarked> {
    fallback: CacheFallbackLayer<K, V, R, C, M>,
    through: Arc<Through>,
}

impl<K: Eq + Hash + Clone, V, R, C, M> CacheFallbackLayer<K, V, R, C, M> {
    /// Tells answers that are [fresh](ReadThroughConfig::new) without asking the service, and asks once for all who ask for the
    /// same at the same time. It comes last: what else there is to say is said before.
    ///
    /// The calls are made in tasks of their own, so that requests, answers and the service must be `Send + 'static`, and it must
    /// be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`InvalidReadThrough`] says which setting cannot work.
    pub fn read_through(
        self,
        config: ReadThroughConfig,
    ) -> Result<ReadThroughLayer<K, V, R, C, M>, InvalidReadThrough> {
        Ok(ReadThroughLayer { through: Arc::new(Through::new(config)?), fallback: self })
    }
}

impl<K: Eq + Hash + Clone, V, R, C, M> ReadThroughLayer<K, V, R, C, M> {
    /// The hold on what this layer remembers, and all its clones and services.
    #[must_use]
    pub fn memory(&self) -> Memory<K, V> {
        self.fallback.memory()
    }
}

impl<S, K, V, R, C, M> Layer<S> for ReadThroughLayer<K, V, R, C, M>
where
    R: Clone,
    C: Clone,
    M: Clone,
{
    type Service = ReadThrough<S, K, V, R, C, M>;

    fn layer(&self, inner: S) -> Self::Service {
        ReadThrough { fallback: self.fallback.layer(inner), through: self.through.clone() }
    }
}

impl<K, V, R: Clone, C: Clone, M: Clone> Clone for ReadThroughLayer<K, V, R, C, M> {
    fn clone(&self) -> Self {
        Self { fallback: self.fallback.clone(), through: self.through.clone() }
    }
}

impl<K, V, R, C, M> fmt::Debug for ReadThroughLayer<K, V, R, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadThroughLayer").field("fallback", &self.fallback).finish_non_exhaustive()
    }
}
