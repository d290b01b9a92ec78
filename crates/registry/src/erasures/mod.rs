//! Erasure requests as records: who asked for what until when, and how far it has come. What a request
//! is follows from the log alone ([`request::ErasureRequest::apply`]); the catalog keeps the result at hand.

pub(crate) mod asked;
pub(crate) mod concern;
pub(crate) mod deadline;
pub(crate) mod event;
pub(crate) mod page;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod state;
pub(crate) mod step;
#[cfg(test)]
mod tests;
pub(crate) mod words;
