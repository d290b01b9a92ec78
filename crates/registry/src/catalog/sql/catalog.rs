//! The contract, over a database.

use std::pin::Pin;

use umig::ModelId;

use crate::cards::row::CardRow;
use crate::catalog::contract::{Answer, Catalog, Snapshot};
use crate::catalog::publication::Publication;
use crate::catalog::rows::{Draft, Edge, ModelRow, Page};
use crate::catalog::sql::pool::SqlCatalog;
use crate::catalog::sql::write::Writer;
use crate::catalog::sql::{erasures, read};
use crate::crash;
use crate::digest::Digest;
use crate::erasures::page::ErasurePage;
use crate::erasures::request::ErasureRequest;
use crate::erasures::state::ErasureState;
use crate::erasures::step::ErasureRun;
use crate::ids::{ErasureId, OperationId};
use crate::log::entry::OperationRow;

impl Catalog for SqlCatalog {
    fn models(&self) -> Answer<'_, Vec<ModelRow>> {
        Box::pin(read::models(self.pool()))
    }

    fn page<'a>(&'a self, page: &'a Page) -> Answer<'a, Vec<ModelRow>> {
        Box::pin(self.models_of(page))
    }

    fn model<'a>(&'a self, id: &'a ModelId) -> Answer<'a, Option<ModelRow>> {
        Box::pin(self.one_model(id))
    }

    fn network(&self) -> Answer<'_, (Vec<ModelRow>, Vec<Edge>)> {
        Box::pin(self.models_and_edges())
    }

    fn snapshot(&self) -> Answer<'_, Snapshot> {
        Box::pin(self.everything())
    }

    fn cards(&self, model: Option<Digest>) -> Answer<'_, Vec<CardRow>> {
        Box::pin(read::cards(self.pool(), model))
    }

    fn operations(&self) -> Answer<'_, Vec<OperationRow>> {
        Box::pin(read::operations(self.pool()))
    }

    fn publish<'a>(
        &'a self,
        publication: &'a Publication,
        actor: &'a str,
    ) -> Answer<'a, OperationId> {
        Box::pin(async move {
            let transaction = self.begin().await?;
            let mut writer = Writer { transaction };
            let number = writer.publish(publication, actor).await?;
            crash::point("publish before commit");
            writer.transaction.commit().await?;
            crash::point("publish after commit");
            Ok(number)
        })
    }

    fn keep_drafts<'a>(&'a self, request: &'a str, drafts: &'a [Draft]) -> Answer<'a, ()> {
        Box::pin(async move {
            let transaction = self.begin().await?;
            let mut writer = Writer { transaction };
            for draft in drafts {
                writer.keep_draft(request, draft).await?;
            }
            writer.transaction.commit().await?;
            Ok(())
        })
    }

    fn drafts<'a>(&'a self, request: Option<&'a str>) -> Answer<'a, Vec<Draft>> {
        Box::pin(self.drafts_of(request))
    }

    fn drop_drafts(&self, before: u64) -> Answer<'_, u64> {
        Box::pin(async move {
            let done = sqlx::query("DELETE FROM drafts WHERE time < $1")
                .bind(i64::try_from(before).unwrap_or(i64::MAX))
                .execute(self.pool())
                .await?;
            Ok(done.rows_affected())
        })
    }

    fn erasure(&self, id: ErasureId) -> Answer<'_, Option<ErasureRequest>> {
        Box::pin(self.one_erasure(id))
    }

    fn erasures<'a>(&'a self, page: &'a ErasurePage) -> Answer<'a, Vec<ErasureRequest>> {
        Box::pin(self.erasures_of(page))
    }

    fn all_erasures(&self) -> Answer<'_, Vec<ErasureRequest>> {
        Box::pin(erasures::all(self.pool()))
    }

    fn erasure_counts(&self) -> Answer<'_, Vec<(ErasureState, u64)>> {
        Box::pin(self.counts_of_erasures())
    }

    fn erasure_history(&self, id: ErasureId) -> Answer<'_, Vec<OperationRow>> {
        Box::pin(self.history_of_erasure(id))
    }

    fn erasure_of(&self, operation: OperationId) -> Answer<'_, Option<ErasureId>> {
        Box::pin(self.erasure_by_operation(operation))
    }

    fn hold_run(&self, run: ErasureRun, until: u64) -> Answer<'_, bool> {
        Box::pin(self.hold(run, until))
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.pool().close())
    }

    fn setting<'a>(&'a self, name: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(self.setting_of(name))
    }

    fn set<'a>(&'a self, name: &'a str, value: &'a str) -> Answer<'a, ()> {
        Box::pin(self.keep_setting(name, value, "DO UPDATE SET value = excluded.value"))
    }

    fn set_first<'a>(&'a self, name: &'a str, value: &'a str) -> Answer<'a, ()> {
        Box::pin(self.keep_setting(name, value, "DO NOTHING"))
    }
}
