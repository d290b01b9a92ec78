//! The methods of a comparison.

use serde::{Deserialize, Serialize};

/// A method of a comparison.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum MethodKind {
    /// Fisher inheritance unlearning.
    #[default]
    Fiun,
    /// Training again without the forget data, parents before children.
    Retrain,
    /// Further training on the retained data.
    FineTune,
    /// A fresh network that imitates the old one on the retained data.
    Distill,
    /// Ascent on the forget data at the initial models; every descendant adds the same difference.
    GradientAscent,
    /// Selective synaptic dampening of each model with its own forget data.
    Ssd,
    /// The forgotten classes' outputs can no longer win.
    Mask,
    /// Training on the forget data under wrong labels, beside the retained data.
    RandomLabels,
    /// Ascent on the forget data beside descent on the retained data.
    NegGradPlus,
    /// Away from the old model on the forget data, close to it on the rest, in turns.
    Scrub,
    /// Impair with noise that maximises the error, then repair.
    Unsir,
    /// Imitate a fresh network on the forget data and the old one on the rest.
    BadTeacher,
    /// Random labels, only where the forget data's gradient is large.
    SalUn,
    /// The label of the nearest other class on the forget data.
    BoundaryShrink,
    /// Imitate the old model on the forget data, the forgotten outputs left out.
    Delete,
    /// Selective synaptic dampening by the sensitivity of the outputs.
    Lfssd,
    /// Forgotten samples brought to the certainty of unseen ones.
    Matching,
    /// Weights projected away from activations that only the forget data has.
    Projection,
}
