//! Jobs: steps of erasure requests that take long, and wait until a server takes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::ErasureId;

/// A step of a request that waits, is worked on, or was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// Its number; 0 for one that is about to be filed.
    pub id: i64,
    /// The request.
    pub erasure: ErasureId,
    /// What is to be done.
    pub kind: JobKind,
    /// For whom: the actor of what it does.
    pub actor: String,
    /// How far it is.
    pub state: JobState,
    /// When it was filed, in milliseconds since 1970-01-01 UTC.
    pub filed: u64,
    /// When it ended, if it has.
    pub ended: Option<u64>,
    /// What it says of itself: its stage, or why it failed.
    pub said: String,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// It edits the models and publishes new versions.
    Run,
    /// It has the new versions judged.
    Verify,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits.
    Waiting,
    /// A server works on it; or did, and is gone: then another one takes it.
    Taken,
    /// It was done.
    Done,
    /// It failed.
    Failed,
    /// Somebody cancelled it. Who worked on it stops at the next task.
    Cancelled,
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Run => "run",
            Self::Verify => "verify",
        })
    }
}

impl FromStr for JobKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Run, Self::Verify].into_iter();
        let found = known.into_iter().find(|kind| kind.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is no kind of a job"))
    }
}

impl JobState {
    /// Whether something is left to do.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Taken)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Taken => "taken",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [
            Self::Waiting,
            Self::Taken,
            Self::Done,
            Self::Failed,
            Self::Cancelled,
        ];
        let found = known.into_iter().find(|state| state.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is no state of a job"))
    }
}
