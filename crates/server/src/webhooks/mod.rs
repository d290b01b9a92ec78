//! Webhooks: signed messages to other services when requests change their state.

pub(crate) mod courier;
pub(crate) mod known;
pub(crate) mod make;
pub(crate) mod message;
pub(crate) mod send;
pub(crate) mod sign;
pub(crate) mod steps;
