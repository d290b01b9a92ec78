//! What an import found out and what the user should know of it.

use std::fmt;

use serde::Serialize;

/// Where a model's parents are known from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum ParentEvidence {
    /// Its model card names them.
    ModelCard,
    /// The header of its safetensors file names them.
    FileMetadata,
    /// It is an adapter, and its configuration names the base model.
    Adapter,
    /// It was merged, and its configuration names what from.
    MergeConfig,
    /// Its weights suggest one.
    Weights {
        /// How sure the proposal is, 0 to 1.
        confidence: f64,
        /// The share of parameters that are the same, 0 to 1.
        shared: f64,
        /// The distance of the others, in units of their norm.
        distance: f64,
    },
}

impl fmt::Display for ParentEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ModelCard => write!(f, "model card"),
            Self::FileMetadata => write!(f, "file's metadata"),
            Self::Adapter => write!(f, "adapter"),
            Self::MergeConfig => write!(f, "mergekit"),
            Self::Weights {
                confidence,
                shared,
                distance,
            } => write!(
                f,
                "weights, {:.0} % sure: {}",
                confidence * 100.0,
                measured(*shared, *distance)
            ),
        }
    }
}

fn measured(shared: f64, distance: f64) -> String {
    format!(
        "{:.0} % of its parameters are the same, the others {distance:.2} lengths apart",
        shared * 100.0
    )
}

/// Something that the user should know before the models are added.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ImportNote {
    /// A model that is left out.
    LeftOut {
        /// Which one, and why.
        reason: String,
    },
    /// A remark of the reader of a file.
    Reader {
        /// The remark.
        remark: String,
    },
    /// A base model that is neither in the tree nor in the registry.
    UnknownBase {
        /// The model.
        model: String,
        /// The base model that it names.
        base: String,
        /// Where it names it.
        evidence: ParentEvidence,
    },
    /// A parent that the weights suggest with too little confidence.
    Doubtful {
        /// The model.
        model: String,
        /// The parent that it may have.
        parent: String,
        /// How sure the proposal is, 0 to 1.
        confidence: f64,
        /// The share of parameters that are the same, 0 to 1.
        shared: f64,
        /// The distance of the others, in units of their norm.
        distance: f64,
    },
}

impl fmt::Display for ImportNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut { reason } => write!(f, "left out: {reason}"),
            Self::Reader { remark } => write!(f, "{remark}"),
            Self::UnknownBase {
                model,
                base,
                evidence,
            } => write!(
                f,
                "{model}: its {evidence} names the base model `{base}`, which is not here; import it \
                 too if what it learnt may have to be forgotten"
            ),
            Self::Doubtful {
                model,
                parent,
                confidence,
                shared,
                distance,
            } => write!(
                f,
                "{model}: may come from `{parent}`, with a confidence of only {:.0} % ({})",
                confidence * 100.0,
                measured(*shared, *distance)
            ),
        }
    }
}
