use std::collections::HashMap;

use sqlx::sqlite::SqliteConnection;

use super::row::{corrupt, delete, read, select, upsert};
use crate::idempotency::state::{Phase, Record};
use crate::idempotency::{RecordKey, StoreError};

/// So many rows go in one statement, which is prepared and kept for each number of them.
const MOST_AT_ONCE: usize = 32;

/// All records that a transaction is about: they are read by one statement and written by a few, since most of what a
/// statement takes is the way to the thread that has the file.
pub(super) struct Records(HashMap<RecordKey, Entry>);

/// What runs, as this writer wrote it last: whoever completes it need not read it. Answers are not kept.
#[derive(Default)]
pub(super) struct Running {
    records: HashMap<RecordKey, Record>,
    version: Option<i64>,
}

/// What is begun meanwhile and lasts longer is read again.
const MOST_KNOWN: usize = 4096;

impl Running {
    /// As of a transaction that has begun at this version of the file.
    pub(super) fn as_of(&mut self, version: i64) {
        if self.version.replace(version) != Some(version) {
            self.records.clear();
        }
    }

    /// After a transaction that was not committed, or nobody knows whether it was.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// After one that was.
    pub(super) fn learn(&mut self, written: Records) {
        if self.records.len() >= MOST_KNOWN {
            self.records.clear();
        }
        for (key, entry) in written.0 {
            match entry {
                Entry::Known { record: Some(record), .. } if matches!(record.phase, Phase::Running { .. }) => {
                    self.records.insert(key, record);
                }
                Entry::Known { .. } | Entry::Corrupt => _ = self.records.remove(&key),
            }
        }
    }
}

enum Entry {
    Known {
        record: Option<Record>,
        is_changed: bool,
    },
    /// It makes no sense, and is left as it is.
    Corrupt,
}

impl Records {
    pub(super) fn of(keys: impl Iterator<Item = RecordKey>) -> Self {
        Self(keys.map(|key| (key, Entry::Known { record: None, is_changed: false })).collect())
    }

    /// Reads what is not known already.
    pub(super) async fn read(&mut self, connection: &mut SqliteConnection, known: &Running) -> Result<(), sqlx::Error> {
        let mut keys = Vec::with_capacity(self.0.len());
        for (key, entry) in &mut self.0 {
            match known.records.get(key) {
                Some(record) => *entry = Entry::Known { record: Some(record.clone()), is_changed: false },
                None => keys.push(*key),
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
        for row in select(&keys).fetch_all(connection).await? {
            let (key, record) = read(row)?;
            let known = |record| Entry::Known { record: Some(record), is_changed: false };
            self.0.insert(key, record.map_or(Entry::Corrupt, known));
        }
        Ok(())
    }

    /// Decides about a record, which is there as it will be.
    pub(super) fn decide(
        &mut self,
        key: &RecordKey,
        decide: impl FnOnce(&mut Option<Record>),
    ) -> Result<(), StoreError> {
        match self.0.get_mut(key) {
            Some(Entry::Known { record, is_changed }) => {
                let before = record.clone();
                decide(record);
                *is_changed |= *record != before;
                Ok(())
            }
            Some(Entry::Corrupt) | None => Err(corrupt("a row makes no sense")),
        }
    }

    /// Writes what has changed, and says whether anything has.
    pub(super) async fn write(&self, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for (key, entry) in &self.0 {
            match entry {
                Entry::Known { record: Some(record), is_changed: true } => kept.push((key, record)),
                Entry::Known { record: None, is_changed: true } => gone.push(*key),
                Entry::Known { is_changed: false, .. } | Entry::Corrupt => {}
            }
        }
        for these in kept.chunks(MOST_AT_ONCE) {
            upsert(these).build().execute(&mut *connection).await?;
        }
        if !gone.is_empty() {
            delete(&gone).execute(connection).await?;
        }
        Ok(!kept.is_empty() || !gone.is_empty())
    }
}
