//! What is told without asking.

use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Plan;
use crate::cache_fallback::config::{InvalidReadThrough, ReadThroughConfig};
use crate::cache_fallback::handle::{Accepts, Because, Counted, Recalled, Share};
use crate::cache_fallback::memory::Answer;
use crate::cache_fallback::state::{Standing, Times};
use crate::clock::Moment;

/// What all services of a read-through have in common.
pub(in super::super) struct Through {
    pub(super) config: ReadThroughConfig,
    pub(super) times: Times,
    /// One for each answer that may be asked for in the background.
    pub(super) refreshes: Arc<Semaphore>,
}

/// What a request asks of the memory.
pub(in super::super) struct Question<K, A> {
    pub(in super::super) key: K,
    pub(in super::super) asked: A,
    pub(in super::super) accepts: Accepts,
}

/// What is told without asking.
pub(in super::super) enum Look<Res, V> {
    Told(Res),
    /// This, as long as another answer is asked for.
    Refreshing(Res, Arc<Answer<V>>),
    Nothing,
}

impl Through {
    pub(in super::super) fn new(config: ReadThroughConfig) -> Result<Self, InvalidReadThrough> {
        config.check()?;
        let times = Times::of(&config);
        let refreshes = Arc::new(Semaphore::new(config.max_refreshes.get().min(Semaphore::MAX_PERMITS)));
        Ok(Self { config, times, refreshes })
    }

    /// What is told to a question without asking.
    #[inline(always)]
    pub(in super::super) fn look<K, V, R, C, M, Req, Res>(
        &self,
        plan: &Plan<K, V, R, C, M>,
        question: &Question<K, R::Asked>,
    ) -> Look<Res, V>
    where
        K: Eq + Hash + Clone,
        R: Share<Req, Res, Key = K, Kept = V>,
    {
        let Plan { shared, remember, .. } = plan;
        let Question { key, asked, accepts } = question;
        let name = shared.config.name;
        let told = shared.store.look(
            key,
            |kept| remember.does_for(asked, kept),
            |answer| {
                let recall = |age, because| remember.recall(asked, &answer.value, Recalled { age, because, name });
                match answer.life.standing(Moment::now(), &self.times, accepts.unasked) {
                    Standing::Fresh { age, ttl } => {
                        shared.counters.count(Counted::Fresh);
                        Some(Look::Told(recall(age, Because::Fresh { ttl })))
                    }
                    Standing::Refreshing { age, stale_for } => {
                        shared.counters.count(Counted::Refreshing);
                        Some(Look::Refreshing(recall(age, Because::Refreshing { stale_for }), answer.clone()))
                    }
                    Standing::Old => None,
                }
            },
        );
        if let Some(told) = told.flatten() {
            return told;
        }
        if accepts.only_remembered
            && let Some(response) = remember.nothing_remembered(asked)
        {
            return Look::Told(response);
        }
        Look::Nothing
    }
}
