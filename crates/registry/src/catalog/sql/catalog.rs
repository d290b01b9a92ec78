//! The contract, over a database.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use umig::ModelId;

use crate::cards::row::CardRow;
use crate::catalog::contract::{Answer, Catalog, Snapshot};
use crate::catalog::publication::Publication;
use crate::catalog::rows::{Draft, Edge, Lease, ManifestRow, ModelRow, Page};
use crate::catalog::sql::patience::{Asked, patiently};
use crate::catalog::sql::pool::SqlCatalog;
use crate::catalog::sql::write::{Entry, Writer, draft_statements};
use crate::catalog::sql::{erasures, read};
use crate::crash;
use crate::digest::Digest;
use crate::erasures::event::ErasureEvent;
use crate::erasures::page::ErasurePage;
use crate::erasures::request::ErasureRequest;
use crate::erasures::state::ErasureState;
use crate::erasures::step::ErasureRun;
use crate::error::RegistryError;
use crate::ids::{ErasureId, OperationId};
use crate::log::entry::OperationRow;
use crate::service::answer::KeptAnswer;
use crate::service::job::{Job, JobState};
use crate::service::token::AccessToken;
use crate::service::webhook::{Delivery, DeliveryEnd, MessagePage, Webhook, WebhookMessage};

impl SqlCatalog {
    /// An answer that outlasts a database that is away for a while. What is asked must not matter when it is
    /// done twice.
    fn patiently<'a, T: 'a, A>(&'a self, attempt: impl FnMut() -> A + Send + 'a) -> Answer<'a, T>
    where
        A: Future<Output = Result<T, RegistryError>> + Send + 'a,
    {
        Box::pin(patiently(Asked::Again, attempt))
    }

    /// Publishes, unless an earlier attempt did whose answer was lost: its entry is in the log then.
    async fn publish_once(
        &self,
        publication: &Publication,
        actor: &str,
        sent: &Mutex<Option<Entry>>,
    ) -> Result<OperationId, RegistryError> {
        let transaction = self.begin().await?;
        let mut writer = Writer { transaction };
        let earlier = sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(entry) = earlier
            && writer.has(&entry).await?
        {
            return Ok(entry.id);
        }
        let entry = writer.publish(publication, actor).await?;
        let id = entry.id;
        *sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        crash::point("publish before commit");
        writer.transaction.commit().await?;
        crash::point("publish after commit");
        Ok(id)
    }

    async fn keep_drafts_once(&self, request: &str, drafts: &[Draft]) -> Result<(), RegistryError> {
        let mut statements = draft_statements(request, drafts, self.is_sqlite())?;
        if statements.len() == 1
            && let Some(only) = statements.pop()
        {
            // It is a transaction of its own.
            only.execute(self.pool()).await?;
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        for statement in statements {
            statement.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn drop_drafts_once(&self, before: u64) -> Result<u64, RegistryError> {
        let done = sqlx::query("DELETE FROM drafts WHERE time < $1")
            .bind(i64::try_from(before).unwrap_or(i64::MAX))
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected())
    }
}

impl Catalog for SqlCatalog {
    fn models(&self) -> Answer<'_, Vec<ModelRow>> {
        self.patiently(|| read::models(self.pool()))
    }

    fn manifests(&self) -> Answer<'_, Vec<ManifestRow>> {
        self.patiently(|| read::manifests(self.pool()))
    }

    fn page<'a>(&'a self, page: &'a Page) -> Answer<'a, Vec<ModelRow>> {
        self.patiently(|| self.models_of(page))
    }

    fn model<'a>(&'a self, id: &'a ModelId) -> Answer<'a, Option<ModelRow>> {
        self.patiently(|| self.one_model(id))
    }

    fn some_models<'a>(&'a self, ids: &'a [ModelId]) -> Answer<'a, Vec<ModelRow>> {
        self.patiently(|| self.models_with(ids))
    }

    fn newest<'a>(&'a self, names: &'a [String]) -> Answer<'a, Vec<ModelRow>> {
        self.patiently(|| self.newest_of(names))
    }

    fn network(&self) -> Answer<'_, (Vec<ModelRow>, Vec<Edge>)> {
        self.patiently(|| self.models_and_edges())
    }

    fn snapshot(&self) -> Answer<'_, Snapshot> {
        self.patiently(|| self.everything())
    }

    fn cards(&self, model: Option<Digest>) -> Answer<'_, Vec<CardRow>> {
        self.patiently(move || read::cards(self.pool(), model))
    }

    fn replaced<'a>(&'a self, ids: &'a [ModelId]) -> Answer<'a, BTreeSet<ModelId>> {
        self.patiently(|| self.replaced_of(ids))
    }

    fn operations_of<'a>(&'a self, ids: &'a [OperationId]) -> Answer<'a, Vec<OperationRow>> {
        self.patiently(|| self.entries_of(ids))
    }

    fn operations(&self) -> Answer<'_, Vec<OperationRow>> {
        self.patiently(|| read::operations(self.pool()))
    }

    fn publish<'a>(
        &'a self,
        publication: &'a Publication,
        actor: &'a str,
    ) -> Answer<'a, OperationId> {
        Box::pin(async move {
            let sent = Mutex::new(None);
            let attempt = || self.publish_once(publication, actor, &sent);
            patiently(Asked::Again, attempt).await
        })
    }

    fn keep_drafts<'a>(&'a self, request: &'a str, drafts: &'a [Draft]) -> Answer<'a, ()> {
        self.patiently(|| self.keep_drafts_once(request, drafts))
    }

    fn drafts<'a>(&'a self, request: Option<&'a str>) -> Answer<'a, Vec<Draft>> {
        self.patiently(move || self.drafts_of(request))
    }

    fn drop_drafts(&self, before: u64) -> Answer<'_, u64> {
        self.patiently(move || self.drop_drafts_once(before))
    }

    fn begin_lease<'a>(&'a self, lease: &'a Lease) -> Answer<'a, Option<Lease>> {
        self.patiently(|| self.begin_one(lease))
    }

    fn prolong_lease<'a>(&'a self, holder: &'a str, until: u64) -> Answer<'a, bool> {
        self.patiently(move || self.prolong_one(holder, until))
    }

    fn end_lease<'a>(&'a self, holder: &'a str) -> Answer<'a, ()> {
        Box::pin(self.end_one(holder))
    }

    fn leases(&self) -> Answer<'_, Vec<Lease>> {
        self.patiently(|| self.running_leases())
    }

    fn erasure(&self, id: ErasureId) -> Answer<'_, Option<ErasureRequest>> {
        self.patiently(move || self.one_erasure(id))
    }

    fn erasures<'a>(&'a self, page: &'a ErasurePage) -> Answer<'a, Vec<ErasureRequest>> {
        self.patiently(|| self.erasures_of(page))
    }

    fn all_erasures(&self) -> Answer<'_, Vec<ErasureRequest>> {
        self.patiently(|| erasures::all(self.pool()))
    }

    fn erasure_counts(&self) -> Answer<'_, Vec<(ErasureState, u64)>> {
        self.patiently(|| self.counts_of_erasures())
    }

    fn overdue_erasures(&self, time: u64) -> Answer<'_, u64> {
        self.patiently(move || self.count_of_overdue(time))
    }

    fn erasure_history(&self, id: ErasureId) -> Answer<'_, Vec<OperationRow>> {
        self.patiently(move || self.history_of_erasure(id))
    }

    fn erasure_of(&self, operation: OperationId) -> Answer<'_, Option<ErasureId>> {
        self.patiently(move || self.erasure_by_operation(operation))
    }

    fn erasure_events(
        &self,
        after: OperationId,
        request: Option<ErasureId>,
        limit: u32,
    ) -> Answer<'_, Vec<ErasureEvent>> {
        self.patiently(move || self.events_after(after, request, limit))
    }

    fn last_erasure_event(&self) -> Answer<'_, OperationId> {
        self.patiently(|| self.last_event())
    }

    fn hold_run(&self, run: ErasureRun, until: u64) -> Answer<'_, bool> {
        Box::pin(self.hold(run, until))
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.pool().close())
    }

    fn setting<'a>(&'a self, name: &'a str) -> Answer<'a, Option<String>> {
        self.patiently(|| self.setting_of(name))
    }

    fn set<'a>(&'a self, name: &'a str, value: &'a str) -> Answer<'a, ()> {
        let known = "DO UPDATE SET value = excluded.value";
        self.patiently(move || self.keep_setting(name, value, known))
    }

    fn set_first<'a>(&'a self, name: &'a str, value: &'a str) -> Answer<'a, ()> {
        self.patiently(move || self.keep_setting(name, value, "DO NOTHING"))
    }

    fn add_token<'a>(&'a self, token: &'a AccessToken) -> Answer<'a, i64> {
        Box::pin(self.insert_token(token))
    }

    fn tokens(&self) -> Answer<'_, Vec<AccessToken>> {
        self.patiently(|| self.all_tokens())
    }

    fn token_by_hash<'a>(&'a self, hash: &'a str) -> Answer<'a, Option<AccessToken>> {
        self.patiently(move || self.token_with(hash))
    }

    fn revoke_token(&self, id: i64, time: u64) -> Answer<'_, bool> {
        Box::pin(self.end_token(id, time))
    }

    fn use_token(&self, id: i64, time: u64) -> Answer<'_, ()> {
        Box::pin(self.mark_token(id, time))
    }

    fn file_job<'a>(&'a self, job: &'a Job) -> Answer<'a, Option<i64>> {
        Box::pin(self.insert_job(job))
    }

    fn jobs(&self, erasure: ErasureId) -> Answer<'_, Vec<Job>> {
        self.patiently(move || self.jobs_for(erasure))
    }

    fn recent_jobs(&self, since: u64) -> Answer<'_, Vec<Job>> {
        self.patiently(move || self.jobs_since(since))
    }

    fn take_job<'a>(&'a self, worker: &'a str, now: u64, until: u64) -> Answer<'a, Option<Job>> {
        Box::pin(self.take(worker, now, until))
    }

    fn hold_job<'a>(
        &'a self,
        id: i64,
        worker: &'a str,
        until: u64,
        said: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(self.keep_taken(id, worker, until, said))
    }

    fn leave_job<'a>(
        &'a self,
        id: i64,
        worker: &'a str,
        state: JobState,
        said: &'a str,
        time: u64,
    ) -> Answer<'a, bool> {
        Box::pin(self.leave(id, worker, state, said, time))
    }

    fn claim_answer<'a>(
        &'a self,
        name: &'a str,
        asked: &'a str,
        time: u64,
    ) -> Answer<'a, KeptAnswer> {
        Box::pin(self.first_answer(name, asked, time))
    }

    fn keep_answer<'a>(&'a self, name: &'a str, status: u16, body: &'a str) -> Answer<'a, ()> {
        self.patiently(move || self.keep_given(name, status, body))
    }

    fn release_answer<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        self.patiently(move || self.forget_answer(name))
    }

    fn drop_answers(&self, before: u64) -> Answer<'_, ()> {
        self.patiently(move || self.forget_answers(before))
    }

    fn add_webhook<'a>(&'a self, webhook: &'a Webhook) -> Answer<'a, i64> {
        Box::pin(self.insert_webhook(webhook))
    }

    fn webhooks(&self) -> Answer<'_, Vec<Webhook>> {
        self.patiently(|| self.all_webhooks())
    }

    fn remove_webhook(&self, id: i64) -> Answer<'_, bool> {
        Box::pin(self.delete_webhook(id))
    }

    fn pause_webhook(&self, id: i64, since: u64) -> Answer<'_, bool> {
        Box::pin(self.mark_paused(id, since))
    }

    fn webhook_messages<'a>(&'a self, page: &'a MessagePage) -> Answer<'a, Vec<WebhookMessage>> {
        self.patiently(|| self.messages_of(page))
    }

    fn take_webhook<'a>(
        &'a self,
        worker: &'a str,
        now: u64,
        until: u64,
    ) -> Answer<'a, Option<Webhook>> {
        Box::pin(self.take_due_webhook(worker, now, until))
    }

    fn due_delivery(&self, webhook: i64, now: u64) -> Answer<'_, Option<Delivery>> {
        Box::pin(self.first_due(webhook, now))
    }

    fn end_delivery<'a>(
        &'a self,
        delivery: &'a Delivery,
        worker: &'a str,
        end: &'a DeliveryEnd,
        until: u64,
    ) -> Answer<'a, bool> {
        Box::pin(self.end_attempt(delivery, worker, end, until))
    }

    fn release_webhook<'a>(&'a self, id: i64, worker: &'a str) -> Answer<'a, ()> {
        Box::pin(self.release(id, worker))
    }
}
