//! What a server over the registry keeps: who may use it, work that waits, answers that were given, who is
//! told of changes.

pub(crate) mod answer;
pub(crate) mod job;
pub(crate) mod token;
pub(crate) mod webhook;
