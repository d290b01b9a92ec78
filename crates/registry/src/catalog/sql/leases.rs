//! Leases in the catalog.

use sqlx::{Any, Row, Transaction, raw_sql};

use crate::catalog::rows::Lease;
use crate::catalog::sql::pool::SqlCatalog;
use crate::error::RegistryError;
use crate::time::now;

impl SqlCatalog {
    /// Begins a lease, unless there is one that stands in its way: that is returned then.
    pub(super) async fn begin_one(&self, lease: &Lease) -> Result<Option<Lease>, RegistryError> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM leases WHERE until < $1 OR holder = $2")
            .bind(now() as i64)
            .bind(&lease.holder)
            .execute(&mut *transaction)
            .await?;
        let others = leases(&mut transaction).await?;
        let in_the_way = others.into_iter().find(|other| other.removes);
        if in_the_way.is_none() {
            let text = "INSERT INTO leases (holder, removes, since, until) VALUES ($1, $2, $3, $4)";
            sqlx::query(text)
                .bind(&lease.holder)
                .bind(i64::from(lease.removes))
                .bind(lease.since as i64)
                .bind(lease.until as i64)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(in_the_way)
    }

    pub(super) async fn prolong_one(
        &self,
        holder: &str,
        until: u64,
    ) -> Result<bool, RegistryError> {
        let done = sqlx::query("UPDATE leases SET until = $1 WHERE holder = $2 AND until >= $3")
            .bind(until as i64)
            .bind(holder)
            .bind(now() as i64)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn end_one(&self, holder: &str) -> Result<(), RegistryError> {
        sqlx::query("DELETE FROM leases WHERE holder = $1")
            .bind(holder)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    pub(super) async fn running_leases(&self) -> Result<Vec<Lease>, RegistryError> {
        let mut transaction = self.moment().await?;
        let mut found = leases(&mut transaction).await?;
        found.retain(|lease| lease.until >= now());
        Ok(found)
    }
}

async fn leases(transaction: &mut Transaction<'static, Any>) -> Result<Vec<Lease>, RegistryError> {
    let rows = raw_sql("SELECT holder, removes, since, until FROM leases ORDER BY since, holder")
        .fetch_all(&mut **transaction)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Lease {
                holder: row.try_get(0)?,
                removes: row.try_get::<i64, _>(1)? != 0,
                since: row.try_get::<i64, _>(2)? as u64,
                until: row.try_get::<i64, _>(3)? as u64,
            })
        })
        .collect()
}
