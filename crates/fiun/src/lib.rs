//! Fisher Inheritance Unlearning (FIUn) on plain slices and matrices.
//!
//! The diagonal Fisher information (FIM) of the *forget data* on an *initial* model says which
//! parameters hold that data. FIUn dampens those parameters in every model that inherited from it,
//! each on its own, with no order among them:
//!
//! ```text
//! select  S_v = { i : F_u[i] > alpha * F_v[i] }
//! dampen  theta_v[i] <- min(lambda * F_v[i] / F_u[i], 1) * theta_v[i]      for i in S_v
//! ```
//!
//! - [`head_fisher`]: the FIM of a linear head in closed form, per class and in total;
//!   [`head_precision`]: how sure it is when it comes from a subset.
//! - [`layers`]: per-sample squared gradients of inner layers, one file for each layer type.
//! - [`FisherTensor`]: the FIM of one tensor, in single precision without underflow.
//! - [`merge`]: several initial models' FIMs into one (MFIM).
//! - [`dampen`]: selection and dampening, on `f32`, `f16` and `bf16`.
//! - [`search_alpha`]: the threshold, chosen from a target on cached features; [`LogitSuppression`]:
//!   what no threshold takes, taken from the forgotten labels' biases.
//! - [`RemapSums`]: REMAP, the penultimate layer taught what a model that never knew the forget data
//!   would write of it; [`HeadRow`]: the forgotten label's row that goes with it.
//! - [`Separation`]: how far features still tell a forgotten label from the rest, whatever their scale.
//! - [`LowRankGaussian`]: activations without the samples that they are of, for an edit without data.
//! - [`Outside`]: how certain a model should be of single samples that it is to forget; [`KernelMachine`]:
//!   how well they are named by what did not learn them.
//! - [`RowMatch`]: heads whose label sets differ, matched by label name.
//!
//! Sources: Liu et al., arXiv:2408.08493, Section 4 (FIUn, MFIM); Foster et al., arXiv:2308.07707
//! (the dampening step).

mod edit;
mod error;
mod fisher;
mod kernel;
mod labels;
mod search;

pub use edit::dampen::{Dampening, Selection, dampen};
pub use edit::head_row::{HeadRow, log_sum_exp};
pub use edit::log_odds::{log_odds, mean_log_odds};
pub use edit::low_rank::LowRankGaussian;
pub use edit::margins::KernelMachine;
pub use edit::matching::{Outside, Readings, label_weights};
pub use edit::remap::{Correction, Remap, RemapSums, prototypes};
pub use edit::separation::{Separated, Separation};
pub use edit::suppression::{HeadPart, LogitSuppression, SuppressibleRows};
pub use error::FisherError;
pub use fisher::estimator::Estimator;
pub use fisher::head::{HeadFisher, LayerFisher, head_fisher};
pub use fisher::layers;
pub use fisher::merge::{mean, merge};
pub use fisher::precision::{Precision, head_precision};
pub use fisher::residuals::{Residuals, residuals};
pub use fisher::tensor::FisherTensor;
pub use kernel::cholesky::Cholesky;
pub use kernel::matrix::{Matrix, MatrixRef, argmax};
pub use kernel::product::{Factor, Product, Threads, linear, transpose_product};
pub use kernel::scalar::{BLOCK, Scalar, Scratch};
pub use kernel::sums::{dot, sum};
pub use labels::RowMatch;
pub use search::alpha::{AlphaChoice, DATA_FREE_ALPHA, Effort, LAMBDAS, Search};
pub use search::head::{HeadProblem, largest_ratio, search_alpha};
pub use search::score::{Target, Trial, score_trial};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
