//! What the engine gives back, as dataclasses of `disinherit.results`. A field that is missing there, or
//! that there is not, is an error as soon as one is made.

mod certificates;
mod erasures;
mod import;
mod models;
mod record;
mod registry;
mod requests;

pub(crate) use certificates::CheckedCertificate;
pub(crate) use import::Imported;
pub(crate) use models::{Details, Edge, Graph};
pub(crate) use record::{Record, from_plain, list, plain, texts};
