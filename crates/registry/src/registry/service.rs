//! What a server over the registry keeps in it.

use crate::error::RegistryError;
use crate::ids::ErasureId;
use crate::registry::Registry;
use crate::service::answer::KeptAnswer;
use crate::service::job::{Job, JobState};
use crate::service::token::AccessToken;
use crate::time::now;

/// How long a server may be silent before another one takes its job, in milliseconds.
const LEASE: u64 = 30_000;

/// How long answers are kept, in milliseconds: a day.
const KEPT: u64 = 24 * 3_600_000;

/// How exactly it is kept when a token was used last, in milliseconds.
const USED: u64 = 60_000;

impl Registry {
    /// Keeps a token, and returns its number.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn add_token(&self, token: &AccessToken) -> Result<i64, RegistryError> {
        self.wait(self.catalog().add_token(token))
    }

    /// All tokens, by number; those that hold no longer too.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn tokens(&self) -> Result<Vec<AccessToken>, RegistryError> {
        self.wait(self.catalog().tokens())
    }

    /// The token whose secret has this hash, if it holds; that it was used is noted.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn token(&self, hash: &str) -> Result<Option<AccessToken>, RegistryError> {
        let found = self.wait(self.catalog().token_by_hash(hash))?;
        let Some(token) = found.filter(|token| token.holds(now())) else {
            return Ok(None);
        };
        if token.used.unwrap_or_default().saturating_add(USED) < now() {
            self.wait(self.catalog().use_token(token.id, now()))?;
        }
        Ok(Some(token))
    }

    /// Revokes a token; false where there is none that could be.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn revoke_token(&self, id: i64) -> Result<bool, RegistryError> {
        self.wait(self.catalog().revoke_token(id, now()))
    }

    /// Files a job and returns its number; nothing where one of the same request is open.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn file_job(&self, job: &Job) -> Result<Option<i64>, RegistryError> {
        self.wait(self.catalog().file_job(job))
    }

    /// The jobs of a request, oldest first.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn jobs(&self, erasure: ErasureId) -> Result<Vec<Job>, RegistryError> {
        self.wait(self.catalog().jobs(erasure))
    }

    /// The jobs that wait, are worked on, or have ended since a time (in milliseconds since 1970-01-01 UTC), by
    /// number.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn recent_jobs(&self, since: u64) -> Result<Vec<Job>, RegistryError> {
        self.wait(self.catalog().recent_jobs(since))
    }

    /// Takes the oldest job that waits, or whose worker has been silent for a minute. No other worker gets it
    /// before this worker has been.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn take_job(&self, worker: &str) -> Result<Option<Job>, RegistryError> {
        let now = now();
        self.wait(self.catalog().take_job(worker, now, now + LEASE))
    }

    /// Says that a job is worked on, and what it says of itself; false where it is another's by now.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn hold_job(&self, id: i64, worker: &str, said: &str) -> Result<bool, RegistryError> {
        self.wait(self.catalog().hold_job(id, worker, now() + LEASE, said))
    }

    /// Ends a job, or lets it wait again; false where it is another's by now.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn leave_job(
        &self,
        id: i64,
        worker: &str,
        state: JobState,
        said: &str,
    ) -> Result<bool, RegistryError> {
        self.wait(self.catalog().leave_job(id, worker, state, said, now()))
    }

    /// Claims a key for the answer to a call. Answers are kept for a day.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn claim_answer(&self, name: &str, asked: &str) -> Result<KeptAnswer, RegistryError> {
        self.wait(self.catalog().drop_answers(now().saturating_sub(KEPT)))?;
        self.wait(self.catalog().claim_answer(name, asked, now()))
    }

    /// Keeps the answer of a key that was claimed.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn keep_answer(&self, name: &str, status: u16, body: &str) -> Result<(), RegistryError> {
        self.wait(self.catalog().keep_answer(name, status, body))
    }

    /// Lets a key that was claimed be claimed again: the call under it failed.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn release_answer(&self, name: &str) -> Result<(), RegistryError> {
        self.wait(self.catalog().release_answer(name))
    }
}
