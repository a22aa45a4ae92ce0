mod scripts;
mod server_time;
mod unavailable;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind, Value};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use self::server_time::ServerTime;
pub use self::unavailable::RedisCacheError;
use crate::cache_fallback::{Entry, Found, Store};
use crate::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig, OpenFor};
use crate::clock::{self, Moment};
use crate::telemetry;

/// As many as a memory keeps of one key.
const MOST_VARIANTS: usize = 8;

/// For so long it is remembered that something was forgotten. An answer that was asked for longer ago is not put.
const REMEMBERED: Duration = Duration::from_secs(300);

/// How far what a server's clock should show may be from what it shows.
const TOLERANCE: Duration = Duration::from_secs(1);

/// How long whoever puts or forgets waits, as a multiple of how long whoever asks does: nobody waits for them.
const PATIENCE: u32 = 10;

/// A call that nobody waits for any more is given up then, if its connection does not.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// Answers in a Redis server: the second level of a [cache fallback](crate::cache_fallback#processes-that-share-answers).
///
/// Who asks waits for 50 ms at most, and not at all while the server's [circuit](Self::breaker) is open: it opens when three
/// calls in a row have failed or come too late, and a second later the next call tries it. Clones share connection and circuit.
///
/// It goes through any connection of `redis` that serves many at once, best through a [`Connection`](super::Connection), which is
/// made anew when it has to be.
#[derive(Clone)]
pub struct RedisCache<C>(Arc<Inner<C>>);

#[derive(Clone)]
struct Inner<C> {
    connection: C,
    prefix: Arc<str>,
    within: Duration,
    breaker: CircuitBreaker,
    time: Arc<ServerTime>,
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisCache<C> {
    /// A cache in the server at the other end of a connection, whose keys begin with `buttress:cache:`. It need not be there yet.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the settings are known to go together")]
    pub fn new(connection: C) -> Self {
        let config = CircuitBreakerConfig::new()
            .name("redis_cache")
            .consecutive_failures(3)
            .open_for(OpenFor::fixed(Duration::from_secs(1)).jitter(0.2))
            .longest_hint(Duration::ZERO)
            .probe_lease(Duration::from_secs(1));
        let breaker = CircuitBreaker::new(config).expect("settings that go together");
        let within = Duration::from_millis(50);
        Self(Arc::new(Inner { connection, prefix: "buttress:cache:".into(), within, breaker, time: Arc::default() }))
    }

    /// The same, where the keys begin with this. Caches with one prefix in one server are one cache.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.inner().prefix = prefix.into();
        self
    }

    /// How long whoever asks waits for an answer; 50 ms by default. Nobody waits for what is put or forgotten, which may take ten
    /// times as long.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.inner().within = limit;
        self
    }

    /// Guards the server with this breaker, in place of the cache's own.
    #[must_use]
    pub fn guarded_by(mut self, breaker: CircuitBreaker) -> Self {
        self.inner().breaker = breaker;
        self
    }

    /// The server's circuit, to watch it and to take a hand in it.
    #[must_use]
    pub fn breaker(&self) -> &CircuitBreaker {
        &self.0.breaker
    }

    /// The name in the server of what is there under a key, as the [codec](crate::cache_fallback::Codec::key) writes that.
    #[must_use]
    pub fn name_of(&self, key: &[u8]) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = Sha256::digest(key).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let mut name = String::with_capacity(self.0.prefix.len() + 64);
        name.push_str(&self.0.prefix);
        name.extend(digits.map(|digit| char::from(DIGITS[usize::from(digit)])));
        name
    }

    fn inner(&mut self) -> &mut Inner<C> {
        Arc::make_mut(&mut self.0)
    }

    /// The name of when everything was last forgotten.
    fn epoch(&self) -> String {
        format!("{}epoch", self.0.prefix)
    }

    /// Asks the server, unless its circuit is open.
    async fn ask(&self, script: &'static Script, call: Cmd, within: Duration) -> Result<Vec<Value>, RedisCacheError> {
        let Ok(runtime) = Handle::try_current() else {
            return Err(failed("there is no runtime"));
        };
        let permit = self.0.breaker.try_acquire().map_err(RedisCacheError::CircuitOpen)?;
        let (mut connection, time) = (self.0.connection.clone(), self.0.time.clone());
        // On its own: only a call that is not given up finds out that its connection is dead.
        let asked = runtime.spawn(telemetry::in_this_span(clock::within(GIVEN_UP, async move {
            let mut answer: RedisResult<Vec<Value>> = call.query_async(&mut connection).await;
            if answer.as_ref().is_err_and(is_unknown) {
                script.prepare_invoke().load_async(&mut connection).await?;
                answer = call.query_async(&mut connection).await;
            }
            let answer = answer?;
            let told = answer.first().and_then(number).ok_or_else(strange)?;
            time.told(told, Moment::now());
            Ok(answer)
        })));
        match clock::within(within, asked).await {
            Some(Ok(Some(Ok(answer)))) => {
                permit.success();
                Ok(answer)
            }
            // It answers.
            Some(Ok(Some(Err(error)))) if is_full(&error) => {
                permit.success();
                Err(RedisCacheError::Failed(error))
            }
            Some(Ok(Some(Err(error)))) => {
                permit.failure();
                Err(RedisCacheError::Failed(error))
            }
            None | Some(Ok(None)) => {
                permit.failure();
                Err(RedisCacheError::Late(within))
            }
            // The runtime ends, or the connection has panicked.
            Some(Err(_)) => {
                permit.failure();
                Err(failed("the call was broken off"))
            }
        }
    }

    fn call(&self, script: &Script, key: &[u8]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(script.get_hash()).arg(2).arg(self.name_of(key)).arg(self.epoch());
        call
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Store for RedisCache<C> {
    type Error = RedisCacheError;

    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Vec<Found>, Self::Error>> + Send {
        let call = self.call(&scripts::GET, key);
        async move {
            let answer = self.ask(&scripts::GET, call, self.0.within).await?;
            let mut found = Vec::with_capacity(answer.len() / 2);
            let mut rest = answer.into_iter().skip(1);
            while let (Some(age), Some(Value::BulkString(bytes))) = (rest.next().as_ref().and_then(number), rest.next())
            {
                found.push(Found { age: Duration::from_micros(age), bytes: bytes.into() });
            }
            Ok(found)
        }
    }

    async fn put(&self, key: &[u8], entry: Entry) -> Result<(), Self::Error> {
        let Entry { variant, bytes, age, keep_for } = entry;
        let asked = Moment::now();
        // The first time, the server says what its clock shows; and when that has leapt.
        for _ in 0..2 {
            let now = Moment::now();
            let waited = now.since(asked);
            let (age, keep_for) = (age.saturating_add(waited), keep_for.saturating_sub(waited));
            if age >= REMEMBERED || keep_for.is_zero() {
                return Ok(());
            }
            let mut call = self.call(&scripts::PUT, key);
            call.arg(&variant.unwrap_or_default().to_be_bytes()).arg(i32::from(variant.is_none())).arg(&bytes[..]);
            call.arg(self.0.time.at(now)).arg(micros(age)).arg(micros(keep_for)).arg(micros(TOLERANCE));
            call.arg(MOST_VARIANTS).arg(micros(REMEMBERED));
            let answer = self.ask(&scripts::PUT, call, self.0.within * PATIENCE).await?;
            if !matches!(answer.get(1), Some(Value::BulkString(said)) if said == b"late") {
                break;
            }
        }
        Ok(())
    }

    async fn forget(&self, key: &[u8], age: Duration) -> Result<(), Self::Error> {
        let mut call = self.call(&scripts::FORGET, key);
        call.arg(micros(age)).arg(micros(REMEMBERED));
        self.ask(&scripts::FORGET, call, self.0.within * PATIENCE).await.map(drop)
    }

    async fn forget_all(&self) -> Result<(), Self::Error> {
        let call = self.call(&scripts::FORGET_ALL, &[]);
        self.ask(&scripts::FORGET_ALL, call, self.0.within * PATIENCE).await.map(drop)
    }
}

impl<C> fmt::Debug for RedisCache<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { prefix, within, breaker, .. } = &*self.0;
        f.debug_struct("RedisCache")
            .field("prefix", prefix)
            .field("within", within)
            .field("breaker", breaker)
            .finish_non_exhaustive()
    }
}

fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether it has no room; what it has, it tells.
fn is_full(error: &RedisError) -> bool {
    error.code() == Some("OOM") || error.to_string().contains("OOM")
}

fn failed(why: &'static str) -> RedisCacheError {
    RedisCacheError::Failed((ErrorKind::Client, why).into())
}

fn strange() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "it is no answer of the script").into()
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::BulkString(digits) => str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}

/// So that all of Lua's sums stay whole numbers, nothing lasts longer than a hundred years.
fn micros(duration: Duration) -> u64 {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    u64::try_from(duration.min(LONGEST).as_micros()).unwrap_or(u64::MAX)
}
