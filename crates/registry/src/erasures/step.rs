//! The steps of an erasure request, as the log keeps them.

use serde::{Deserialize, Serialize};
use umig::ModelId;

use crate::digest::Digest;
use crate::erasures::asked::Asked;
use crate::ids::{ErasureId, OperationId};
use crate::log::loss::LossBound;
use crate::log::method_name::MethodName;

/// A step of an erasure request that is an operation of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErasureRecord {
    /// The request; 0 for one that is filed, which gets its number when it is.
    pub request: ErasureId,
    /// What happened to it.
    #[serde(flatten)]
    pub step: ErasureStep,
}

/// What happened to an erasure request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum ErasureStep {
    /// It was filed.
    New(Filing),
    /// Somebody said something about it.
    Comment {
        /// What.
        text: String,
    },
    /// The models that it touches were put on record.
    Plan(ErasurePlan),
    /// It was approved.
    Approve {
        /// Whether the registry asked for another person than who filed it.
        four_eyes: bool,
    },
    /// It was turned down.
    Reject {
        /// Why.
        reason: String,
    },
    /// It got another deadline.
    Extend {
        /// The deadline, in milliseconds since 1970-01-01 UTC.
        deadline: u64,
        /// Why.
        reason: String,
    },
    /// A run began.
    Run {
        /// Whether another run, which may be going on, was taken over.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        taken_over: bool,
    },
    /// A run ended before it published anything, or what it published could not be judged.
    Fail {
        /// Why.
        reason: String,
    },
    /// A run or a job was stopped before it was done. What there was to stop is put on record in the
    /// transaction that does so.
    Cancel {
        /// Whether a run had begun: it publishes nothing any more.
        run: bool,
        /// The job that waited or was worked on, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        job: Option<i64>,
        /// Why, where it was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The new models were judged.
    Verify(ErasureVerdict),
    /// The certificate was signed.
    Certify {
        /// The object with the certificate.
        certificate: Digest,
        /// The id of the key that signed it.
        key: String,
        /// The public key to check it with (SPKI, PEM); nothing in entries from before it was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        public_key: Option<String>,
    },
    /// Nothing is left of the weights that remember: they were purged one by one, or never superseded.
    Purge,
    /// It was closed.
    Close,
}

/// What is filed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filing {
    /// What must be forgotten.
    pub asked: Asked,
    /// The initial models, named by hand; found by provenance when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<ModelId>,
    /// Who asked, under a pseudonym.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// The legal basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// When it arrived, in milliseconds since 1970-01-01 UTC.
    pub received: u64,
    /// Until when it must be carried out, in milliseconds since 1970-01-01 UTC.
    pub deadline: u64,
}

/// What a run will do: nothing else, or it is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErasurePlan {
    /// The object that lists the models it touches, each with its digest and why, and what it cannot reach.
    pub scope: Digest,
    /// How many models were trained on the forget data themselves.
    pub initial: usize,
    /// How many inherited from those.
    pub inherited: usize,
    /// How many of both are taken out of use, since nothing of their own would be left.
    pub retired: usize,
    /// The method.
    pub method: MethodName,
    /// What every model may lose in accuracy on the retained data.
    pub loss_bound: LossBound,
}

/// What the evaluator said of the new models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureVerdict {
    /// Whether it is enough to go on.
    pub passed: bool,
    /// The object with the verdict on each model; nothing where they were not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdicts: Option<Digest>,
    /// How many models were judged.
    pub judged: usize,
    /// How many of them still recognise what they should have forgotten.
    pub recognised: usize,
    /// The least that was reached, in the judgement's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<String>,
    /// What was asked for, in the judgement's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<String>,
    /// Why nothing was judged, where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_judged: Option<String>,
}

/// The run of an erasure request that published new models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureRun {
    /// The request.
    pub request: ErasureId,
    /// The operation by which the run began.
    pub started: OperationId,
}

impl ErasureStep {
    /// Stops what goes on or waits, for a reason where one is given.
    pub fn cancel(reason: Option<String>) -> Self {
        Self::Cancel {
            run: false,
            job: None,
            reason,
        }
    }

    /// The name of the command that it is in the log.
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Self::New(_) => "request new",
            Self::Comment { .. } => "request comment",
            Self::Plan(_) => "request plan",
            Self::Approve { .. } => "request approve",
            Self::Reject { .. } => "request reject",
            Self::Extend { .. } => "request extend",
            Self::Run { .. } => "request run",
            Self::Fail { .. } => "request fail",
            Self::Cancel { .. } => "request cancel",
            Self::Verify(_) => "request verify",
            Self::Certify { .. } => "request certify",
            Self::Purge => "request purge",
            Self::Close => "request close",
        }
    }

    /// Whether a command is a step that this version knows.
    pub(crate) fn knows(command: &str) -> bool {
        const KNOWN: [&str; 13] = [
            "new", "comment", "plan", "approve", "reject", "extend", "run", "fail", "verify",
            "certify", "purge", "close", "cancel",
        ];
        let step = command.strip_prefix("request ");
        step.is_some_and(|step| KNOWN.contains(&step))
    }
}
