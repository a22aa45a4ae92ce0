use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow};
use sqlx::query::QueryAs;
use sqlx::{Error, Execute, Executor, FromRow, Postgres};

/// A connection that is closed if whoever asks is gone before the answer: given back, it would be in the pool's way until then.
pub(super) struct Reached {
    connection: PoolConnection<Postgres>,
    owes_an_answer: bool,
}

impl Reached {
    pub(super) const fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection, owes_an_answer: false }
    }

    pub(super) async fn fetch_optional<'q, T>(
        &mut self,
        statement: QueryAs<'q, Postgres, T, PgArguments>,
    ) -> Result<Option<T>, Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.owes_an_answer = true;
        let said = statement.fetch_optional(&mut *self.connection).await;
        self.owes_an_answer = false;
        said
    }

    pub(super) async fn execute<'q>(
        &mut self,
        statement: impl Execute<'q, Postgres> + 'q,
    ) -> Result<PgQueryResult, Error> {
        self.owes_an_answer = true;
        let done = self.connection.execute(statement).await;
        self.owes_an_answer = false;
        done
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        if self.owes_an_answer {
            self.connection.close_on_drop();
        }
    }
}
