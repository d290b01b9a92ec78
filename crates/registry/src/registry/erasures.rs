//! Erasure requests in a registry: filed, taken on step by step, listed.

use std::collections::BTreeMap;
use std::time::Duration;

use umig::Forget;

use crate::catalog::publication::Publication;
use crate::erasures::asked::Asked;
use crate::erasures::event::ErasureEvent;
use crate::erasures::page::ErasurePage;
use crate::erasures::request::ErasureRequest;
use crate::erasures::state::ErasureState;
use crate::erasures::step::{ErasureRecord, ErasureRun, ErasureStep, Filing};
use crate::error::RegistryError;
use crate::ids::{ErasureId, OperationId};
use crate::log::entry::OperationRow;
use crate::log::record::OperationRecord;
use crate::registry::Registry;
use crate::time::now;

/// The setting that says whether a request needs the approval of somebody else than who filed it.
pub(crate) const FOUR_EYES: &str = "four-eyes";

/// Its value where it does.
pub(crate) const ON: &str = "on";

impl Registry {
    /// Whether a request needs the approval of somebody else than who filed it.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn asks_for_four_eyes(&self) -> Result<bool, RegistryError> {
        Ok(self.setting(FOUR_EYES)?.as_deref() == Some(ON))
    }

    /// Says whether requests need the approval of somebody else than who filed them, from now on.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn set_four_eyes(&self, asked: bool) -> Result<(), RegistryError> {
        self.set(FOUR_EYES, if asked { ON } else { "off" })
    }

    /// What must be forgotten, as a request for a record: a list of samples becomes an object.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn asked(&self, forget: &Forget) -> Result<Asked, RegistryError> {
        Ok(match forget {
            Forget::Classes(labels) => Asked::Classes(labels.clone()),
            Forget::Source(source) => Asked::Source(source.clone()),
            Forget::Samples(ids) => Asked::Samples(self.put_sample_list(ids)?),
        })
    }

    /// What a record asks to forget, with the ids of its list.
    ///
    /// # Errors
    /// [`RegistryError`] when the list cannot be read.
    pub fn forget_of(&self, asked: &Asked) -> Result<Forget, RegistryError> {
        Ok(match asked {
            Asked::Classes(labels) => Forget::Classes(labels.clone()),
            Asked::Source(source) => Forget::Source(source.clone()),
            Asked::Samples(list) => Forget::Samples(self.sample_ids(list)?),
        })
    }

    /// Files a request, which gets the next number.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] when a text or the deadline cannot be kept.
    pub fn file_erasure(&self, filing: Filing) -> Result<ErasureRequest, RegistryError> {
        let record = ErasureRecord {
            request: ErasureId::NEXT,
            step: ErasureStep::New(filing),
        };
        let record = OperationRecord::Erasure(Box::new(record));
        let operation = self.publish(&Publication::new(now(), record))?;
        let filed = self.wait(self.catalog().erasure_of(operation))?;
        self.erasure(filed.ok_or(RegistryError::NoOperation(operation))?)
    }

    /// Takes a step of a request, and returns what it is then. With `seen`, only if the operation that was
    /// seen last is still the last one that concerns the request.
    ///
    /// # Errors
    /// [`RegistryError::NoErasure`], or [`RegistryError::Refused`] when the step is not legal.
    pub fn step_erasure(
        &self,
        request: ErasureId,
        step: ErasureStep,
        seen: Option<OperationId>,
    ) -> Result<ErasureRequest, RegistryError> {
        let record = OperationRecord::Erasure(Box::new(ErasureRecord { request, step }));
        self.publish(&Publication {
            seen,
            ..Publication::new(now(), record)
        })?;
        self.erasure(request)
    }

    /// A request by its number.
    ///
    /// # Errors
    /// [`RegistryError::NoErasure`].
    pub fn erasure(&self, id: ErasureId) -> Result<ErasureRequest, RegistryError> {
        let found = self.wait(self.catalog().erasure(id))?;
        found.ok_or(RegistryError::NoErasure(id))
    }

    /// Some requests.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn erasures(&self, page: &ErasurePage) -> Result<Vec<ErasureRequest>, RegistryError> {
        self.wait(self.catalog().erasures(page))
    }

    /// How many requests are in each state that some are in.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn erasure_counts(&self) -> Result<BTreeMap<ErasureState, u64>, RegistryError> {
        let counts = self.wait(self.catalog().erasure_counts())?;
        Ok(counts.into_iter().collect())
    }

    /// How many open requests have a deadline before this time, in milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn overdue_erasures(&self, time: u64) -> Result<u64, RegistryError> {
        self.wait(self.catalog().overdue_erasures(time))
    }

    /// The operations that concern a request, oldest first: its own steps, and what was done for it.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn erasure_history(&self, id: ErasureId) -> Result<Vec<OperationRow>, RegistryError> {
        self.wait(self.catalog().erasure_history(id))
    }

    /// What happened to a request, or to all, after an operation, oldest first: so many at most.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn erasure_events(
        &self,
        after: OperationId,
        request: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<ErasureEvent>, RegistryError> {
        self.wait(self.catalog().erasure_events(after, request, limit))
    }

    /// The last operation that concerns a request; 0 where none does.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn last_erasure_event(&self) -> Result<OperationId, RegistryError> {
        self.wait(self.catalog().last_erasure_event())
    }

    /// Says that a run goes on and may not be taken over for so long. Returns whether it is still the run of
    /// its request.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn hold_run(&self, run: ErasureRun, length: Duration) -> Result<bool, RegistryError> {
        let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let until = now().saturating_add(length);
        self.wait(self.catalog().hold_run(run, until))
    }
}
