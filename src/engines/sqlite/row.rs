use std::array::TryFromSliceError;
use std::sync::Arc;

use bytes::Bytes;
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{Error, QueryBuilder, query, query_as};

use crate::clock::Moment;
use crate::idempotency::state::{Phase, Record};
use crate::idempotency::{Acquired, Fingerprint, Owner, RecordKey, StoreError};

/// A record as it is in the file.
pub(super) type Row = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, i64, i64, i64, Option<i64>, i64, Option<Vec<u8>>);

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Where in a value that holds keys each of them begins. A statement that named each would be prepared anew for each number of
/// them.
macro_rules! with_places {
    () => {
        "WITH RECURSIVE place (at) AS (SELECT 1 UNION ALL SELECT at + 32 FROM place WHERE at + 32 < length(?1)) "
    };
}

pub(super) fn select<'q>(keys: &[RecordKey]) -> QueryAs<'q, Sqlite, Row, SqliteArguments> {
    query_as(concat!(
        with_places!(),
        "SELECT key, fingerprint, owner, fence, attempt, phase, lease_until, forgotten_at, outcome \
         FROM place CROSS JOIN record ON key = substr(?1, at, 32)",
    ))
    .bind(together(keys))
}

fn together(keys: &[RecordKey]) -> Vec<u8> {
    keys.iter().flat_map(|key| *key.as_bytes()).collect()
}

/// The key, and the record unless that makes no sense.
pub(super) fn read(row: Row) -> Result<(RecordKey, Option<Record>), Error> {
    let key = row.0.as_slice().try_into().map_err(|error: TryFromSliceError| Error::Decode(error.into()))?;
    Ok((RecordKey::from_bytes(key), record(row)))
}

fn record((_, fingerprint, owner, fence, attempt, phase, until, forgotten_at, outcome): Row) -> Option<Record> {
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

pub(super) fn upsert(records: &[(&RecordKey, &Record)]) -> QueryBuilder<Sqlite> {
    let mut insert = QueryBuilder::new(
        "INSERT INTO record (key, fingerprint, owner, fence, attempt, phase, lease_until, forgotten_at, ends, outcome) ",
    );
    insert.push_values(records, |mut row, (key, record)| {
        let (phase, until, outcome) = match &record.phase {
            Phase::Running { until } => (0, Some(number(*until)), None),
            Phase::Done(answer) => (1, None, Some(&**answer)),
            Phase::Parked(why) => (2, None, Some(why.as_bytes())),
        };
        row.push_bind(&key.as_bytes()[..])
            .push_bind(&record.fingerprint.as_bytes()[..])
            .push_bind(record.owner.as_ref().map(|owner| &owner.as_bytes()[..]))
            .push_bind(i64::try_from(record.acquired.fence).unwrap_or(i64::MAX))
            .push_bind(i64::from(record.acquired.attempt))
            .push_bind(phase)
            .push_bind(until)
            .push_bind(number(record.forgotten_at))
            .push_bind(number(record.ends()))
            .push_bind(outcome);
    });
    insert.push(
        " ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, owner = excluded.owner, \
         fence = excluded.fence, attempt = excluded.attempt, phase = excluded.phase, lease_until = excluded.lease_until, \
         forgotten_at = excluded.forgotten_at, ends = excluded.ends, outcome = excluded.outcome",
    );
    insert
}

pub(super) fn delete<'q>(keys: &[RecordKey]) -> Statement<'q> {
    query(concat!("DELETE FROM record WHERE key IN (", with_places!(), "SELECT substr(?1, at, 32) FROM place)"))
        .bind(together(keys))
}

pub(super) fn delete_what_is_over<'q>(now: Moment, most: u32) -> Statement<'q> {
    query("DELETE FROM record WHERE key IN (SELECT key FROM record WHERE ends <= ?1 ORDER BY ends LIMIT ?2)")
        .bind(number(now))
        .bind(most)
}

/// The largest time and the largest fence there ever were, and a number that is another one when another process, or another
/// connection, has written.
pub(super) type Begun = (i64, i64, i64);

/// Begins a transaction, and says what there is to know in any case: both at once, since most of what either takes is the way
/// to the thread that has the file.
pub(super) fn begin<'q>() -> QueryAs<'q, Sqlite, Begun, SqliteArguments> {
    query_as("BEGIN IMMEDIATE; SELECT time, fence, data_version FROM largest, pragma_data_version")
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
