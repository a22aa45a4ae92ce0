mod reply;
mod scripts;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, Pipeline, RedisResult, Script, ServerErrorKind, Value};

use self::reply::Reply;
use super::check::{InvalidRedis, check};
use crate::idempotency::{Begin, Capabilities, Claim, Commit, Fingerprint, Owner, RecordKey, Store, StoreError};

/// Records in a Redis server. Clones share the connection.
///
/// It goes through any connection of `redis` that serves many at once and asks nothing twice by itself, best through a
/// [`Connection`](super::Connection), which is made anew when it has to be.
#[derive(Clone)]
pub struct RedisStore<C> {
    connection: C,
    prefix: Arc<str>,
    replicas: Option<Replicas>,
}

/// How many replicas must have a claim, and how long they may take.
#[derive(Clone, Copy, Debug)]
struct Replicas {
    number: NonZeroU32,
    within: Duration,
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// A store in the server at the other end of a connection, where the keys of the records begin with
    /// `buttress:idempotency:`.
    ///
    /// # Errors
    ///
    /// If the server may forget records before their time, is of a cluster, or does not do all that a store asks for.
    pub async fn new(connection: C) -> Result<Self, InvalidRedis> {
        Self::with_prefix(connection, "buttress:idempotency:").await
    }

    /// The same, where the keys of the records begin with this.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub async fn with_prefix(mut connection: C, prefix: impl Into<Arc<str>>) -> Result<Self, InvalidRedis> {
        let prefix = prefix.into();
        check(&mut connection, &format!("{prefix}check")).await?;
        Ok(Self { connection, prefix, replicas: None })
    }

    /// A request is somebody's only when so many replicas know it, which is asked in the same round trip (`WAIT`). If they do
    /// not within so long, the claim fails, [in doubt](StoreError::Ambiguous).
    ///
    /// Others that use the connection wait as well meanwhile: give the store a connection of its own, which waits longer for an
    /// answer than this.
    #[must_use]
    pub const fn wait(mut self, replicas: NonZeroU32, within: Duration) -> Self {
        self.replicas = Some(Replicas { number: replicas, within });
        self
    }

    async fn ask(&self, script: &Script, key: &RecordKey, arguments: &[&[u8]]) -> Result<Reply, StoreError> {
        let mut connection = self.connection.clone();
        let call = self.call(script, key, arguments);
        let mut answer: RedisResult<Value> = call.query_async(&mut connection).await;
        if is_unknown(&answer) {
            load(script, &mut connection).await?;
            answer = call.query_async(&mut connection).await;
        }
        Reply::of(answer)
    }

    /// The same, and how many replicas know it. Both are asked at once: on a connection that was made in between, no replica
    /// would have to know anything.
    async fn ask_replicas(
        &self,
        script: &Script,
        key: &RecordKey,
        arguments: &[&[u8]],
        replicas: Replicas,
    ) -> Result<Reply, StoreError> {
        let mut both = Pipeline::new();
        both.add_command(self.call(script, key, arguments));
        // To wait for 0 ms is to wait for ever.
        let within = u64::try_from(replicas.within.as_millis()).unwrap_or(u64::MAX).max(1);
        both.cmd("WAIT").arg(replicas.number.get()).arg(within);
        let mut connection = self.connection.clone();
        let mut answers: RedisResult<(Value, i64)> = both.query_async(&mut connection).await;
        if is_unknown(&answers) {
            load(script, &mut connection).await?;
            answers = both.query_async(&mut connection).await;
        }
        let (answer, known_by) = answers.map_err(reply::error)?;
        let reply = Reply::of(Ok(answer))?;
        if reply.is_acquired() && known_by < i64::from(replicas.number.get()) {
            return Err(reply::in_doubt(format!("{known_by} replicas know of the claim")));
        }
        Ok(reply)
    }

    fn call(&self, script: &Script, key: &RecordKey, arguments: &[&[u8]]) -> Cmd {
        let (hash, name) = (script.get_hash(), self.name(key));
        let bytes: usize = arguments.iter().map(|argument| argument.len()).sum();
        let mut call = Cmd::with_capacity(4 + arguments.len(), "EVALSHA".len() + hash.len() + 1 + name.len() + bytes);
        call.arg("EVALSHA").arg(hash).arg(1).arg(name).arg(arguments);
        call
    }

    fn name(&self, key: &RecordKey) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Store for RedisStore<C> {
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        let Claim { fingerprint, owner, lease, retention } = claim;
        let (kept, lease, retention) = (millis(lease.max(retention)), micros(lease), micros(retention));
        let arguments: [&[u8]; 5] = [owner.as_bytes(), fingerprint.as_bytes(), &lease, &retention, &kept];
        let reply = match self.replicas {
            None => self.ask(&scripts::BEGIN, key, &arguments).await?,
            Some(replicas) => self.ask_replicas(&scripts::BEGIN, key, &arguments, replicas).await?,
        };
        reply.begin()
    }

    async fn complete(&self, key: &RecordKey, claim: Claim, answer: Bytes) -> Result<Commit, StoreError> {
        let done = over(b"d", &claim, &answer);
        self.ask(&scripts::COMPLETE, key, &[claim.owner.as_bytes(), &done, &millis(claim.retention)]).await?.commit()
    }

    async fn renew(&self, key: &RecordKey, owner: Owner, lease: Duration) -> Result<bool, StoreError> {
        self.ask(&scripts::RENEW, key, &[owner.as_bytes(), &micros(lease)]).await?.yes()
    }

    async fn release(&self, key: &RecordKey, owner: Owner) -> Result<bool, StoreError> {
        self.ask(&scripts::RELEASE, key, &[owner.as_bytes()]).await?.yes()
    }

    async fn park(&self, key: &RecordKey, claim: Claim, why: &str) -> Result<bool, StoreError> {
        let parked = over(b"p", &claim, why.as_bytes());
        self.ask(&scripts::PARK, key, &[claim.owner.as_bytes(), &parked, &millis(claim.retention)]).await?.yes()
    }

    async fn look(&self, key: &RecordKey, fingerprint: Fingerprint) -> Result<Option<Begin>, StoreError> {
        self.ask(&scripts::LOOK, key, &[fingerprint.as_bytes()]).await?.look()
    }

    async fn resolve(&self, key: &RecordKey, answer: Option<Bytes>) -> Result<bool, StoreError> {
        let arguments: Vec<&[u8]> = answer.as_deref().into_iter().collect();
        self.ask(&scripts::RESOLVE, key, &arguments).await?.yes()
    }

    /// Nothing: the server forgets what is over.
    async fn purge(&self, _: u32) -> Result<u32, StoreError> {
        Ok(0)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().shared()
    }
}

impl<C> fmt::Debug for RedisStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, replicas, .. } = self;
        f.debug_struct("RedisStore").field("prefix", prefix).field("replicas", replicas).finish_non_exhaustive()
    }
}

fn is_unknown<T>(answer: &RedisResult<T>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

async fn load(script: &Script, connection: &mut (impl ConnectionLike + Send)) -> Result<(), StoreError> {
    script.prepare_invoke().load_async(connection).await.map_err(reply::error).map(drop)
}

/// The record of a request that is over, of this phase.
fn over(phase: &[u8; 1], claim: &Claim, outcome: &[u8]) -> Vec<u8> {
    [phase, &claim.owner.as_bytes()[..], claim.fingerprint.as_bytes(), outcome].concat()
}

/// So that all of Lua's sums stay whole numbers, nothing lasts longer than a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn micros(duration: Duration) -> Vec<u8> {
    duration.min(LONGEST).as_micros().to_string().into_bytes()
}

/// Nothing is forgotten before its time, and a server remembers nothing for no time at all.
fn millis(duration: Duration) -> Vec<u8> {
    duration.min(LONGEST).as_micros().div_ceil(1000).max(1).to_string().into_bytes()
}
