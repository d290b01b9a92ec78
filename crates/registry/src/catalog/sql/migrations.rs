//! The tables of a catalog, and how those of an earlier version are brought up to date.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyPool, Row, SqlStr, raw_sql};

use crate::error::RegistryError;

/// The kind of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
}

/// Version, name and text of a migration.
type Step = (i64, &'static str, &'static str);

const SQLITE: &[Step] = &[
    (
        1,
        "registry",
        include_str!("../../../migrations/sqlite/0001_registry.sql"),
    ),
    (
        2,
        "history",
        include_str!("../../../migrations/sqlite/0002_history.sql"),
    ),
    (
        3,
        "erasures",
        include_str!("../../../migrations/sqlite/0003_erasures.sql"),
    ),
    (
        4,
        "leases",
        include_str!("../../../migrations/sqlite/0004_leases.sql"),
    ),
    (
        5,
        "service",
        include_str!("../../../migrations/sqlite/0005_service.sql"),
    ),
    (
        6,
        "events",
        include_str!("../../../migrations/sqlite/0006_events.sql"),
    ),
    (
        7,
        "webhooks",
        include_str!("../../../migrations/sqlite/0007_webhooks.sql"),
    ),
    (
        8,
        "messages",
        include_str!("../../../migrations/sqlite/0008_messages.sql"),
    ),
];
#[cfg(feature = "postgres")]
const POSTGRES: &[Step] = &[
    (
        1,
        "catalog",
        include_str!("../../../migrations/postgres/0001_catalog.sql"),
    ),
    (
        2,
        "erasures",
        include_str!("../../../migrations/postgres/0002_erasures.sql"),
    ),
    (
        3,
        "leases",
        include_str!("../../../migrations/postgres/0003_leases.sql"),
    ),
    (
        4,
        "service",
        include_str!("../../../migrations/postgres/0004_service.sql"),
    ),
    (
        5,
        "events",
        include_str!("../../../migrations/postgres/0005_events.sql"),
    ),
    (
        6,
        "webhooks",
        include_str!("../../../migrations/postgres/0006_webhooks.sql"),
    ),
    (
        7,
        "messages",
        include_str!("../../../migrations/postgres/0007_messages.sql"),
    ),
];

/// Why the tables could not be brought up to date. A database that went away meanwhile is told as such.
fn not_migrated(error: MigrateError) -> RegistryError {
    match error {
        MigrateError::Execute(error) => error.into(),
        other => RegistryError::Document {
            what: "catalog".into(),
            reason: other.to_string(),
        },
    }
}

/// Brings the tables of a database up to date.
///
/// # Errors
/// Why that cannot be done; that a later version of the program has changed them is one reason.
pub(super) async fn bring_up_to_date(
    pool: &AnyPool,
    database: Database,
) -> Result<(), RegistryError> {
    let migrations = migrator(match database {
        Database::Sqlite => SQLITE,
        #[cfg(feature = "postgres")]
        Database::Postgres => POSTGRES,
    });
    // A dozen round trips less where there is nothing to do. What is amiss is left to the migrator to tell.
    match are_applied(pool, &migrations).await {
        Ok(true) => Ok(()),
        _ => migrations.run(pool).await.map_err(not_migrated),
    }
}

/// Whether the database has all migrations, as they are, and no others. An error where it has no table of them.
async fn are_applied(pool: &AnyPool, migrations: &Migrator) -> Result<bool, sqlx::Error> {
    let known = "SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version";
    let known = raw_sql(known).fetch_all(pool).await?;
    let same = |(row, migration): (&sqlx::any::AnyRow, &Migration)| {
        Ok::<bool, sqlx::Error>(
            row.try_get::<i64, _>(0)? == migration.version
                && row.try_get::<bool, _>(1)?
                && row.try_get::<Vec<u8>, _>(2)? == *migration.checksum,
        )
    };
    for pair in known.iter().zip(migrations.iter()) {
        if !same(pair)? {
            return Ok(false);
        }
    }
    Ok(known.len() == migrations.iter().count())
}

fn migrator(steps: &'static [Step]) -> Migrator {
    let migrations = steps.iter().map(|(version, name, text)| {
        let text = SqlStr::from_static(text);
        Migration::new(*version, (*name).into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(migrations.collect())
}
