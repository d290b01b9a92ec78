//! What a server over the registry keeps: who may use it, work that waits, answers that were given.

pub(crate) mod answer;
pub(crate) mod job;
pub(crate) mod token;
