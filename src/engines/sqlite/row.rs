use std::sync::Arc;

use bytes::Bytes;
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{query, query_as};

use crate::clock::Moment;
use crate::idempotency::state::{Phase, Record};
use crate::idempotency::{Acquired, Fingerprint, Owner, RecordKey, StoreError};

/// A record as it is in the file, after its key.
pub(super) type Row = (Vec<u8>, Option<Vec<u8>>, i64, i64, i64, Option<i64>, i64, Option<Vec<u8>>);

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

pub(super) fn select(key: &RecordKey) -> QueryAs<'_, Sqlite, Row, SqliteArguments> {
    query_as(
        "SELECT fingerprint, owner, fence, attempt, phase, lease_until, forgotten_at, outcome FROM record WHERE key = ?1",
    )
    .bind(&key.as_bytes()[..])
}

pub(super) fn read((fingerprint, owner, fence, attempt, phase, until, forgotten_at, outcome): Row) -> Option<Record> {
    let owner = match owner {
        Some(owner) => Some(Owner::from_bytes(owner.try_into().ok()?)),
        None => None,
    };
    Some(Record {
        fingerprint: Fingerprint::from_bytes(fingerprint.try_into().ok()?),
        owner,
        acquired: Acquired { fence: fence.try_into().ok()?, attempt: attempt.try_into().ok()? },
        forgotten_at: moment(forgotten_at)?,
        phase: match phase {
            0 => Phase::Running { until: moment(until?)? },
            1 => Phase::Done(Bytes::from(outcome?)),
            2 => Phase::Parked(String::from_utf8(outcome?).ok()?.into()),
            _ => return None,
        },
    })
}

pub(super) fn upsert<'q>(key: &'q RecordKey, record: &'q Record) -> Statement<'q> {
    let (phase, until, outcome) = match &record.phase {
        Phase::Running { until } => (0, Some(number(*until)), None),
        Phase::Done(answer) => (1, None, Some(&**answer)),
        Phase::Parked(why) => (2, None, Some(why.as_bytes())),
    };
    query(
        "INSERT INTO record (key, fingerprint, owner, fence, attempt, phase, lease_until, forgotten_at, ends, outcome) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT (key) DO UPDATE SET fingerprint = ?2, owner = ?3, fence = ?4, attempt = ?5, phase = ?6, \
         lease_until = ?7, forgotten_at = ?8, ends = ?9, outcome = ?10",
    )
    .bind(&key.as_bytes()[..])
    .bind(&record.fingerprint.as_bytes()[..])
    .bind(record.owner.as_ref().map(|owner| &owner.as_bytes()[..]))
    .bind(i64::try_from(record.acquired.fence).unwrap_or(i64::MAX))
    .bind(i64::from(record.acquired.attempt))
    .bind(phase)
    .bind(until)
    .bind(number(record.forgotten_at))
    .bind(number(record.ends()))
    .bind(outcome)
}

pub(super) fn delete(key: &RecordKey) -> Statement<'_> {
    query("DELETE FROM record WHERE key = ?1").bind(&key.as_bytes()[..])
}

pub(super) fn delete_what_is_over<'q>(now: Moment, most: u32) -> Statement<'q> {
    query("DELETE FROM record WHERE key IN (SELECT key FROM record WHERE ends <= ?1 ORDER BY ends LIMIT ?2)")
        .bind(number(now))
        .bind(most)
}

/// The largest time and the largest fence there ever were.
pub(super) fn select_largest<'q>() -> QueryAs<'q, Sqlite, (i64, i64), SqliteArguments> {
    query_as("SELECT time, fence FROM largest")
}

pub(super) fn update_largest<'q>(time: Moment, fence: u64) -> Statement<'q> {
    query("UPDATE largest SET time = ?1, fence = ?2").bind(number(time)).bind(i64::try_from(fence).unwrap_or(i64::MAX))
}

/// The largest time there ever was, of which start of the machine the clock is, and when that counts from.
pub(super) fn select_clock<'q>() -> QueryAs<'q, Sqlite, (i64, Option<String>, i64), SqliteArguments> {
    query_as("SELECT time, boot, began FROM largest, machine")
}

pub(super) fn update_clock(boot: Option<&str>, began: Moment) -> Statement<'_> {
    query("UPDATE machine SET boot = ?1, began = ?2").bind(boot).bind(number(began))
}

pub(super) fn moment(number: i64) -> Option<Moment> {
    u64::try_from(number).ok().map(Moment::from_nanos)
}

/// Ends in the year 2262.
fn number(moment: Moment) -> i64 {
    i64::try_from(moment.to_nanos()).unwrap_or(i64::MAX)
}

pub(super) fn corrupt(what: &'static str) -> StoreError {
    StoreError::Corrupt(Arc::new(what.into()))
}
