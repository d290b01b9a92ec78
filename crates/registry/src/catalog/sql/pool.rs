//! How the database is opened and brought up to date, and its transactions.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{AnyPool, Row, raw_sql};
use url::Url;

use crate::catalog::sql::batch::rows;
use crate::catalog::sql::migrations::{Database, bring_up_to_date};
#[cfg(feature = "postgres")]
use crate::catalog::sql::patience::{Asked, patiently};
use crate::catalog::sql::read;
use crate::error::RegistryError;
use crate::ids::OperationId;
use crate::log::entry::OperationRow;

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(30);

/// A catalog in a database.
pub(crate) struct SqlCatalog {
    pool: AnyPool,
    database: Database,
}

impl SqlCatalog {
    /// Opens or makes a SQLite file and brings its tables up to date.
    pub(crate) async fn in_file(path: &Path) -> Result<Self, RegistryError> {
        let full = std::path::absolute(path).map_err(RegistryError::io("find", path))?;
        let url = Url::from_file_path(&full).map_err(|()| RegistryError::Document {
            what: "catalog".into(),
            reason: format!("{} cannot be written as a URL", path.display()),
        })?;
        let address = format!("sqlite://{}?mode=rwc", url.path());
        let options = AnyPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(PATIENCE)
            .after_connect(|connection, _| {
                // Nothing that a full disk could fail: what fails here is tried again and again.
                Box::pin(async move {
                    let patience = "PRAGMA busy_timeout = 30000";
                    sqlx::query(patience).execute(&mut *connection).await?;
                    Ok(())
                })
            });
        Self::connect(options, &address, Database::Sqlite).await
    }

    /// A catalog in memory.
    pub(crate) async fn in_memory() -> Result<Self, RegistryError> {
        // One connection that is never closed: each has a memory of its own.
        let options = AnyPoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None);
        Self::connect(options, "sqlite::memory:", Database::Sqlite).await
    }

    /// This build has no support for PostgreSQL.
    #[cfg(not(feature = "postgres"))]
    pub(crate) async fn in_postgres(_: &str) -> Result<Self, RegistryError> {
        Err(RegistryError::Unsupported {
            scheme: "postgres",
            feature: "postgres",
        })
    }

    /// Opens a PostgreSQL database and brings its tables up to date.
    #[cfg(feature = "postgres")]
    pub(crate) async fn in_postgres(address: &str) -> Result<Self, RegistryError> {
        let options = AnyPoolOptions::new()
            .max_connections(4)
            // Every answer is asked for patiently: a round trip before each would only tell sooner.
            .test_before_acquire(false)
            .acquire_timeout(PATIENCE);
        let connect = || Self::connect(options.clone(), address, Database::Postgres);
        patiently(Asked::First, connect).await
    }

    async fn connect(
        options: AnyPoolOptions,
        address: &str,
        database: Database,
    ) -> Result<Self, RegistryError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(install_default_drivers);
        let pool = options.connect(address).await?;
        if database == Database::Sqlite {
            // Readers and a writer do not wait for each other, and what is committed is on the disk
            // (`synchronous = FULL` is SQLite's default).
            sqlx::query("PRAGMA journal_mode = WAL")
                .execute(&pool)
                .await?;
        }
        bring_up_to_date(&pool, database).await?;
        let catalog = Self { pool, database };
        catalog.chain_old_entries().await?;
        Ok(catalog)
    }

    /// Entries that were made before there was a chain are put into it as they are.
    async fn chain_old_entries(&self) -> Result<(), RegistryError> {
        // They are the first ones and are chained together, so the very first tells. Looking at all would read
        // the whole log: hashes stand behind the texts.
        let first = "SELECT hash FROM operations ORDER BY id LIMIT 1";
        let first = raw_sql(first).fetch_optional(&self.pool).await?;
        let first: Option<String> = first.map(|row| row.try_get(0)).transpose()?;
        if first.is_none_or(|hash| !hash.is_empty()) {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        let rows = read::operations(&mut *transaction).await?;
        let mut last: Option<(OperationId, String)> = None;
        for mut row in rows {
            if row.hash.is_empty() {
                row.previous = last.take().map(|(_, hash)| hash).unwrap_or_default();
                row.hash = row.expected_hash();
                sqlx::query("UPDATE operations SET previous = $1, hash = $2 WHERE id = $3")
                    .bind(&row.previous)
                    .bind(&row.hash)
                    .bind(row.id.get())
                    .execute(&mut *transaction)
                    .await?;
            }
            let OperationRow { id, hash, .. } = row;
            last = Some((id, hash));
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Rows that one statement looks for.
    pub(super) fn lookups(&self) -> usize {
        rows(2, self.is_sqlite())
    }

    /// Whether the database is a file of SQLite.
    pub(super) fn is_sqlite(&self) -> bool {
        self.database == Database::Sqlite
    }

    /// The connections.
    pub(super) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// A transaction in which all that is read is as of one moment.
    pub(super) async fn moment(
        &self,
    ) -> Result<sqlx::Transaction<'static, sqlx::Any>, RegistryError> {
        Ok(match self.database {
            Database::Sqlite => self.pool.begin().await?,
            #[cfg(feature = "postgres")]
            Database::Postgres => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                self.pool.begin_with(begin).await?
            }
        })
    }

    /// A transaction that keeps others out of the rows which it reads, and what its query ends with for that. Rows
    /// that another one has are passed over, where the database knows rows of one transaction; SQLite has one writer.
    pub(super) async fn begin_with_rows(
        &self,
    ) -> Result<(sqlx::Transaction<'static, sqlx::Any>, &'static str), RegistryError> {
        Ok(match self.database {
            Database::Sqlite => (self.begin().await?, ""),
            #[cfg(feature = "postgres")]
            Database::Postgres => (self.pool.begin().await?, "FOR UPDATE SKIP LOCKED"),
        })
    }

    /// A transaction that keeps other writers out from its beginning: two writers wait for each
    /// other instead of failing halfway.
    pub(super) async fn begin(
        &self,
    ) -> Result<sqlx::Transaction<'static, sqlx::Any>, RegistryError> {
        match self.database {
            Database::Sqlite => Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?),
            #[cfg(feature = "postgres")]
            Database::Postgres => {
                // In one round trip.
                let begin = "BEGIN; LOCK TABLE operations IN EXCLUSIVE MODE";
                Ok(self.pool.begin_with(begin).await?)
            }
        }
    }
}
