use std::collections::HashMap;

use sqlx::sqlite::SqliteConnection;

use super::row::{corrupt, delete, read, select, upsert};
use crate::idempotency::state::Record;
use crate::idempotency::{RecordKey, StoreError};

/// So many rows go in one statement, which is prepared and kept for each number of them.
const MOST_AT_ONCE: usize = 32;

/// All records that a transaction is about: they are read by one statement and written by a few, since most of what a
/// statement takes is the way to the thread that has the file.
pub(super) struct Records(HashMap<RecordKey, Entry>);

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

    pub(super) async fn read(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = self.0.keys().collect();
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
                Entry::Known { record: None, is_changed: true } => gone.push(key),
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
