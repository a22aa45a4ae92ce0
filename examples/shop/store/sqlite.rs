//! Records in a file.

use buttress::BoxError;
use buttress::engines::{SqlStore, Sqlite};

pub(crate) async fn open(file: &str) -> Result<SqlStore<Sqlite>, BoxError> {
    Ok(SqlStore::<Sqlite>::open(file).await?)
}
