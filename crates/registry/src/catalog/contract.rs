//! The catalog's contract: which models exist, who inherited from whom, what was done when.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use umig::ModelId;

use crate::cards::row::CardRow;
use crate::catalog::publication::Publication;
use crate::catalog::rows::{Draft, Edge, Lease, ManifestRow, ModelRow, Page};
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

/// A boxed future, so that catalogs can be chosen at run time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, RegistryError>> + Send + 'a>>;

/// A catalog as of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// All model versions in the order of their publication.
    pub models: Vec<ModelRow>,
    /// All edges in the order of their publication.
    pub edges: Vec<Edge>,
    /// All cards.
    pub cards: Vec<CardRow>,
    /// The log, oldest first.
    pub operations: Vec<OperationRow>,
    /// All erasure requests, by number.
    pub erasures: Vec<ErasureRequest>,
}

/// A catalog. Every implementation must pass the same conformance suite.
pub trait Catalog: Send + Sync {
    /// All model versions in the order of their publication.
    fn models(&self) -> Answer<'_, Vec<ModelRow>>;
    /// The manifests of all model versions, in the same order.
    fn manifests(&self) -> Answer<'_, Vec<ManifestRow>>;
    /// Some model versions, by name and version.
    fn page<'a>(&'a self, page: &'a Page) -> Answer<'a, Vec<ModelRow>>;
    /// One version, if there is such a version.
    fn model<'a>(&'a self, id: &'a ModelId) -> Answer<'a, Option<ModelRow>>;
    /// Some versions, by their ids; one that does not exist is left out.
    fn some_models<'a>(&'a self, ids: &'a [ModelId]) -> Answer<'a, Vec<ModelRow>>;
    /// Of each of some names the newest version, and the newest that is not superseded.
    fn newest<'a>(&'a self, names: &'a [String]) -> Answer<'a, Vec<ModelRow>>;
    /// All model versions and all edges, as of one moment.
    fn network(&self) -> Answer<'_, (Vec<ModelRow>, Vec<Edge>)>;
    /// Everything, as of one moment.
    fn snapshot(&self) -> Answer<'_, Snapshot>;
    /// The cards of a model, or of all models.
    fn cards(&self, model: Option<Digest>) -> Answer<'_, Vec<CardRow>>;
    /// Those of some versions that unlearning replaced: another version goes on from them.
    fn replaced<'a>(&'a self, ids: &'a [ModelId]) -> Answer<'a, BTreeSet<ModelId>>;
    /// Some entries of the log, oldest first.
    fn operations_of<'a>(&'a self, ids: &'a [OperationId]) -> Answer<'a, Vec<OperationRow>>;
    /// The log, oldest first.
    fn operations(&self) -> Answer<'_, Vec<OperationRow>>;
    /// Makes everything visible at once, or nothing, and returns the operation's number.
    /// A version that exists already, or is not in the state that the publication takes it for, is a
    /// [`RegistryError::Conflict`]; a step that is not legal for the erasure request which it concerns is
    /// [`RegistryError::Refused`]. A request that is filed gets its number here.
    fn publish<'a>(
        &'a self,
        publication: &'a Publication,
        actor: &'a str,
    ) -> Answer<'a, OperationId>;
    /// Keeps finished tasks of a request.
    fn keep_drafts<'a>(&'a self, request: &'a str, drafts: &'a [Draft]) -> Answer<'a, ()>;
    /// The finished tasks of a request, or of all requests.
    fn drafts<'a>(&'a self, request: Option<&'a str>) -> Answer<'a, Vec<Draft>>;
    /// Drops drafts that were kept before this time (in milliseconds since 1970-01-01 UTC), and
    /// returns how many.
    fn drop_drafts(&self, before: u64) -> Answer<'_, u64>;
    /// Begins a lease, unless one that removes objects stands in its way: that is returned then. Leases that
    /// have run out count for nothing.
    fn begin_lease<'a>(&'a self, lease: &'a Lease) -> Answer<'a, Option<Lease>>;
    /// Makes a lease longer, to run out at this time; says whether it was still running.
    fn prolong_lease<'a>(&'a self, holder: &'a str, until: u64) -> Answer<'a, bool>;
    /// Ends a lease; one that is not there counts as ended.
    fn end_lease<'a>(&'a self, holder: &'a str) -> Answer<'a, ()>;
    /// The leases that have not run out, the oldest first.
    fn leases(&self) -> Answer<'_, Vec<Lease>>;
    /// An erasure request, if there is one with this number.
    fn erasure(&self, id: ErasureId) -> Answer<'_, Option<ErasureRequest>>;
    /// Some erasure requests.
    fn erasures<'a>(&'a self, page: &'a ErasurePage) -> Answer<'a, Vec<ErasureRequest>>;
    /// All erasure requests, by number.
    fn all_erasures(&self) -> Answer<'_, Vec<ErasureRequest>>;
    /// How many erasure requests are in each state.
    fn erasure_counts(&self) -> Answer<'_, Vec<(ErasureState, u64)>>;
    /// How many open erasure requests have a deadline before this time, in milliseconds since 1970-01-01 UTC.
    fn overdue_erasures(&self, time: u64) -> Answer<'_, u64>;
    /// The operations that concern an erasure request, oldest first.
    fn erasure_history(&self, id: ErasureId) -> Answer<'_, Vec<OperationRow>>;
    /// The erasure request that an operation concerns, if it does.
    fn erasure_of(&self, operation: OperationId) -> Answer<'_, Option<ErasureId>>;
    /// What happened to an erasure request, or to all, after an operation, oldest first.
    fn erasure_events(
        &self,
        after: OperationId,
        request: Option<ErasureId>,
        limit: u32,
    ) -> Answer<'_, Vec<ErasureEvent>>;
    /// The last operation that concerns an erasure request; 0 where none does.
    fn last_erasure_event(&self) -> Answer<'_, OperationId>;
    /// Says that a run goes on, and may not be taken over before this time (in milliseconds since
    /// 1970-01-01 UTC). Returns whether it is still the run of its request.
    fn hold_run(&self, run: ErasureRun, until: u64) -> Answer<'_, bool>;
    /// A setting of the registry.
    fn setting<'a>(&'a self, name: &'a str) -> Answer<'a, Option<String>>;
    /// Closes what is open; nothing works afterwards.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Changes a setting of the registry.
    fn set<'a>(&'a self, name: &'a str, value: &'a str) -> Answer<'a, ()>;
    /// Makes a setting that the registry does not have yet; one that is there stays as it is.
    fn set_first<'a>(&'a self, name: &'a str, value: &'a str) -> Answer<'a, ()>;
    /// Keeps a token, and returns its number.
    fn add_token<'a>(&'a self, token: &'a AccessToken) -> Answer<'a, i64>;
    /// All tokens, by number.
    fn tokens(&self) -> Answer<'_, Vec<AccessToken>>;
    /// The token whose secret has this hash.
    fn token_by_hash<'a>(&'a self, hash: &'a str) -> Answer<'a, Option<AccessToken>>;
    /// Revokes a token; false where there is none that could be.
    fn revoke_token(&self, id: i64, time: u64) -> Answer<'_, bool>;
    /// Says that a token was used.
    fn use_token(&self, id: i64, time: u64) -> Answer<'_, ()>;
    /// Files a job and returns its number; nothing where one of the same request is open.
    fn file_job<'a>(&'a self, job: &'a Job) -> Answer<'a, Option<i64>>;
    /// The jobs of a request, oldest first.
    fn jobs(&self, erasure: ErasureId) -> Answer<'_, Vec<Job>>;
    /// The jobs that wait, are worked on, or have ended since, by number.
    fn recent_jobs(&self, since: u64) -> Answer<'_, Vec<Job>>;
    /// Takes the oldest job that waits, or whose worker has not been heard of; no other worker gets it before
    /// `until`.
    fn take_job<'a>(&'a self, worker: &'a str, now: u64, until: u64) -> Answer<'a, Option<Job>>;
    /// Says that a job is worked on until then at least, and what it says; false where it is another's.
    fn hold_job<'a>(
        &'a self,
        id: i64,
        worker: &'a str,
        until: u64,
        said: &'a str,
    ) -> Answer<'a, bool>;
    /// Ends a job, or lets it wait again; false where it is another's.
    fn leave_job<'a>(
        &'a self,
        id: i64,
        worker: &'a str,
        state: JobState,
        said: &'a str,
        time: u64,
    ) -> Answer<'a, bool>;
    /// Claims a key for an answer.
    fn claim_answer<'a>(
        &'a self,
        name: &'a str,
        asked: &'a str,
        time: u64,
    ) -> Answer<'a, KeptAnswer>;
    /// Keeps the answer of a key that was claimed.
    fn keep_answer<'a>(&'a self, name: &'a str, status: u16, body: &'a str) -> Answer<'a, ()>;
    /// Lets a key that was claimed be claimed again.
    fn release_answer<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;
    /// Drops the answers of before.
    fn drop_answers(&self, before: u64) -> Answer<'_, ()>;
    /// Keeps a webhook, and returns its number.
    fn add_webhook<'a>(&'a self, webhook: &'a Webhook) -> Answer<'a, i64>;
    /// All webhooks, by number.
    fn webhooks(&self) -> Answer<'_, Vec<Webhook>>;
    /// Removes a webhook with what is still to be delivered; false where there is none.
    fn remove_webhook(&self, id: i64) -> Answer<'_, bool>;
    /// Has the messages of a webhook wait since a time, or not any more where it is 0; false where there is none.
    fn pause_webhook(&self, id: i64, since: u64) -> Answer<'_, bool>;
    /// Messages and what has become of them, the newest first.
    fn webhook_messages<'a>(&'a self, page: &'a MessagePage) -> Answer<'a, Vec<WebhookMessage>>;
    /// Takes a webhook that has something to deliver by now; no other server gets it before `until`.
    fn take_webhook<'a>(
        &'a self,
        worker: &'a str,
        now: u64,
        until: u64,
    ) -> Answer<'a, Option<Webhook>>;
    /// The oldest message of a webhook that is to be delivered by now.
    fn due_delivery(&self, webhook: i64, now: u64) -> Answer<'_, Option<Delivery>>;
    /// Puts on record how an attempt ended, and keeps the webhook until then; false where another server has
    /// it by now.
    fn end_delivery<'a>(
        &'a self,
        delivery: &'a Delivery,
        worker: &'a str,
        end: &'a DeliveryEnd,
        until: u64,
    ) -> Answer<'a, bool>;
    /// Lets others have a webhook that was taken.
    fn release_webhook<'a>(&'a self, id: i64, worker: &'a str) -> Answer<'a, ()>;
}
