//! Many rows in one statement: a database that is a network away answers once for all of them.

use std::collections::BTreeSet;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row, Transaction};
use umig::ModelId;

use crate::catalog::sql::read;
use crate::error::RegistryError;

/// Rows in one statement to SQLite. A look for many rows compares each row of a table with all of them.
pub(super) const FEW: usize = 1000;

/// Values in one statement to PostgreSQL, which takes 65,535.
const VALUES: usize = 32_000;

/// Rows of so many columns in one statement. Over a network each statement costs two round trips.
pub(super) fn rows(columns: usize, is_sqlite: bool) -> usize {
    match is_sqlite {
        true => FEW,
        false => VALUES / columns.max(1),
    }
}

/// Whether a connection is one to SQLite.
pub(super) fn is_sqlite(connection: &AnyConnection) -> bool {
    connection.backend_name() == "SQLite"
}

/// A statement whose values are bound.
pub(super) type Bound<'q> = Query<'q, Any, AnyArguments>;

/// `($1, $2), ($3, $4)` for so many rows of so many columns, which are all that a statement binds. SQLite gets
/// `(?, ?), (?, ?)`: it keeps the names of places in a list, and looks through that list for every place.
pub(super) fn places(rows: usize, columns: usize, is_sqlite: bool) -> String {
    let row = |row: usize| {
        let place = |column| match is_sqlite {
            true => "?".to_owned(),
            false => format!("${}", row * columns + column + 1),
        };
        let places: Vec<String> = (0..columns).map(place).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    rows.join(", ")
}

/// `$1, $2` for so many values.
pub(super) fn listed(values: usize) -> String {
    let places: Vec<String> = (1..=values).map(|place| format!("${place}")).collect();
    places.join(", ")
}

/// Binds the names and versions of models.
pub(super) fn bind_ids<'q>(query: Bound<'q>, ids: &'q [ModelId]) -> Bound<'q> {
    ids.iter().fold(query, |query, id| {
        query.bind(id.name()).bind(i64::from(id.version()))
    })
}

/// The first of some models that the catalog does not have.
pub(super) async fn first_gone(
    transaction: &mut Transaction<'static, Any>,
    ids: &[ModelId],
) -> Result<Option<ModelId>, RegistryError> {
    let is_sqlite = is_sqlite(transaction);
    for ids in ids.chunks(rows(2, is_sqlite)) {
        let places = places(ids.len(), 2, is_sqlite);
        let text =
            format!("SELECT name, version FROM models WHERE (name, version) IN (VALUES {places})");
        let known = bind_ids(sqlx::query(AssertSqlSafe(text)), ids)
            .fetch_all(&mut **transaction)
            .await?;
        let known = named(&known)?;
        if let Some(id) = ids.iter().find(|id| !known.contains(*id)) {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

/// The models that rows of a name and a version speak of.
pub(super) fn named(rows: &[AnyRow]) -> Result<BTreeSet<ModelId>, RegistryError> {
    let id = |row: &AnyRow| {
        let (name, version): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
        read::id(&format!("{name}@{version}"))
    };
    rows.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbered_through() {
        assert_eq!(places(2, 2, false), "($1, $2), ($3, $4)");
        assert_eq!(places(2, 2, true), "(?, ?), (?, ?)");
        assert_eq!(listed(3), "$1, $2, $3");
    }
}
