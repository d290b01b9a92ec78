//! The registry: tensors by content, immutable model versions, FIM cards, a catalog, a log.
//!
//! A [`Registry`] is a folder, shared storage, or memory. Tensors, manifests and cards are objects
//! named by their BLAKE3 digest and written atomically, so versions that share tensors share bytes;
//! the catalog says which model versions exist, who inherited from whom, and what was done when. All
//! that one operation makes becomes visible in one transaction ([`Registry::publish`]).
//!
//! The methods block; they must not be called from inside an asynchronous runtime.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use disinherit_formats::Tensor;
//! use disinherit_registry::{
//!     AddRecord, Manifest, ModelRow, NewModel, OperationRecord, Publication, Registry,
//! };
//! use umig::{Model, ModelId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::in_memory()?;
//! let manifest = Manifest {
//!     labels: vec!["cat".into(), "dog".into()],
//!     head: "fc".into(),
//!     ..Manifest::default()
//! };
//! let weight = Tensor::from_f32(&[2, 2], &[1.0, 0.0, 0.0, 1.0]);
//! let digest = registry.put_model(manifest, BTreeMap::from([("fc.weight".into(), weight)]))?;
//!
//! let model = ModelId::new("base", 1)?;
//! let record = OperationRecord::Add(AddRecord { model: model.clone(), digest });
//! let number = registry.publish(&Publication {
//!     models: vec![NewModel {
//!         row: ModelRow::new(Model::new(model.clone(), 0), digest),
//!         parents: Vec::new(),
//!     }],
//!     ..Publication::new(0, record.clone())
//! })?;
//!
//! assert_eq!(registry.digest(&model)?, Some(digest));
//! let log = registry.operations()?;
//! assert_eq!((log[0].id, log[0].record()?), (number, record));
//! # Ok(())
//! # }
//! ```

mod cards;
mod catalog;
#[cfg(feature = "conformance")]
pub mod conformance;
mod crash;
mod digest;
mod erasures;
mod error;
mod ids;
mod log;
mod maintenance;
mod objects;
mod place;
mod registry;
mod samples;
mod service;
mod time;

pub use cards::activations::{ActivationStatistics, ClassActivations, KeptPositions, RunElsewhere};
pub use cards::card::{CardSource, FisherCard};
pub use cards::header::CardHeader;
pub use cards::reader::CardReader;
#[cfg(feature = "fuzzing")]
pub use cards::reader::read_card_index;
pub use cards::row::CardRow;
pub use cards::rows::FisherRows;
pub use cards::values::{CardFile, CardValues};
pub use catalog::contract::{Answer, Catalog, Snapshot};
pub use catalog::publication::Publication;
pub use catalog::rows::{Draft, Edge, ManifestRow, ModelRow, NewModel, Page, State};
pub use digest::{Digest, ParseDigestError};
pub use erasures::asked::Asked;
pub use erasures::deadline::months_after;
pub use erasures::event::ErasureEvent;
pub use erasures::page::{ErasureOrder, ErasurePage};
pub use erasures::refusal::ErasureRefusal;
pub use erasures::request::{ErasureRequest, Stamp};
pub use erasures::state::{ErasureState, StepKind};
pub use erasures::step::{
    ErasurePlan, ErasureRecord, ErasureRun, ErasureStep, ErasureVerdict, Filing,
};
pub use erasures::words::stopped_in_words;
pub use error::{Hint, PurgeRefusal, RegistryError, UndoRefusal};
pub use ids::{ErasureId, OperationId, RequestId};
pub use log::chain::{check_chain, undone_by};
pub use log::entry::{Made, Operation, OperationRow};
pub use log::inner_edit::{Basis, InnerEdit, InnerTrial, RefinedInner, RefinedStage};
pub use log::loss::{CheckedOn, LossBound, LossCheck, MeasuredLoss};
pub use log::matched::MatchedSamples;
pub use log::method_name::MethodName;
pub use log::outcome::{ModelOutcome, RetiredModel};
pub use log::record::{
    AddRecord, FisherImportRecord, FisherRecord, FsckRecord, GrowRecord, ImportRecord,
    OperationRecord, PurgeRecord, Subject, UndoRecord, UnlearnRecord,
};
pub use maintenance::fsck::{Damage, Health};
pub use maintenance::gc::Garbage;
pub use maintenance::purge::{Purge, Purged};
pub use maintenance::undo::Undone;
pub use objects::blobs::{Blobs, Stored};
pub use objects::features::FeatureCache;
pub use objects::gather::Gathered;
pub use objects::manifest::Manifest;
#[cfg(feature = "fuzzing")]
pub use objects::pack::read_pack;
pub use objects::read::ReadObject;
pub use objects::tensor_refs::{Shape, TensorRef, TensorRefs};
pub use place::location::Location;
pub use place::marker::FORMAT;
pub use registry::Registry;
pub use registry::streams::{StoredTensor, TensorWriter};
#[cfg(feature = "fuzzing")]
pub use samples::read_sample_list;
pub use service::answer::KeptAnswer;
pub use service::job::{Job, JobKind, JobState};
pub use service::token::AccessToken;
pub use service::webhook::{
    Delivery, DeliveryEnd, MessageFate, MessagePage, Webhook, WebhookMessage, WebhookTally,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
