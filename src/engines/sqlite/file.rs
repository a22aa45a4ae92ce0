use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Error, query, raw_sql};

/// A connection that is opened anew once it is of no use any more.
pub(super) struct File {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
}

impl File {
    pub(super) const fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        Self { options, connection: Some(connection) }
    }

    pub(super) async fn reach(&mut self) -> Result<&mut SqliteConnection, Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Undoes what was begun, if it was.
    pub(super) async fn undo(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let is_undone = query("ROLLBACK").execute(&mut *connection).await.is_ok();
        // There may have been nothing to undo. A connection that stays in a transaction begins no other one.
        if !is_undone && raw_sql("BEGIN; COMMIT").execute(connection).await.is_err() {
            self.close().await;
        }
    }

    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            // What is left of the log is written into the file; if not, by whoever opens it next.
            _ = connection.close().await;
        }
    }
}
