//! Filing a request.

use disinherit::registry::{ErasureRequest, Filing, months_after};
use disinherit::umig::Request;

use crate::desk::{Desk, now};
use crate::error::DeskError;

/// The months that a person waits at most where nothing is said: Art. 12(3) GDPR.
const MONTHS: u32 = 1;

/// The months from the arrival that an extension goes to where nothing is said: one and two further ones.
pub const LAST_EXTENSION: u32 = 3;

/// A request that is to be filed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// What must be forgotten, and the initial models where they are named by hand.
    pub request: Request,
    /// Who asked: a pseudonym. What it stands for is kept elsewhere.
    pub requester: Option<String>,
    /// The legal basis.
    pub basis: Option<String>,
    /// When it arrived, in milliseconds since 1970-01-01 UTC; now when not given.
    pub received: Option<u64>,
    /// Until when it must be carried out; one month after its arrival when not given.
    pub deadline: Option<u64>,
}

impl Filed {
    /// A request alone, with nothing else known.
    pub fn new(request: Request) -> Self {
        Self {
            request,
            requester: None,
            basis: None,
            received: None,
            deadline: None,
        }
    }
}

impl Desk<'_> {
    /// Files a request. Its list of samples becomes an object of the registry. Whether any model is
    /// concerned is not asked here: a person gets a number in any case.
    ///
    /// # Errors
    /// [`DeskError`] when it asks for nothing, a text cannot be kept, or the deadline is before its arrival.
    pub fn file(&self, filed: Filed) -> Result<ErasureRequest, DeskError> {
        if filed.request.forget.is_empty() {
            let empty = disinherit::umig::RequestError::Empty;
            return Err(disinherit::EngineError::from(empty).into());
        }
        let received = filed.received.unwrap_or_else(now);
        let deadline = filed.deadline;
        let filing = Filing {
            asked: self.registry().asked(&filed.request.forget)?,
            from: filed.request.from,
            requester: filed.requester,
            basis: filed.basis,
            received,
            deadline: deadline.unwrap_or_else(|| months_after(received, MONTHS)),
        };
        Ok(self.registry().file_erasure(filing)?)
    }

    /// A request as the engine takes it, with the ids of its list.
    pub(crate) fn request_of(&self, erasure: &ErasureRequest) -> Result<Request, DeskError> {
        let forget = self.registry().forget_of(&erasure.asked)?;
        Ok(Request::new(forget).from_models(erasure.from.iter().cloned()))
    }
}
