//! JSON under `/api/v1`.

pub(crate) mod body;
#[allow(
    unused_qualifications,
    reason = "utoipa's macro qualifies what is in scope"
)]
pub(crate) mod bundle;
#[allow(
    unused_qualifications,
    reason = "utoipa's macro qualifies what is in scope"
)]
pub(crate) mod events;
pub(crate) mod list;
#[allow(
    unused_qualifications,
    reason = "utoipa's macro qualifies what is in scope"
)]
pub(crate) mod log;
#[allow(
    unused_qualifications,
    reason = "utoipa's macro qualifies what is in scope"
)]
pub(crate) mod messages;
#[allow(
    unused_qualifications,
    reason = "utoipa's macro qualifies what is in scope"
)]
pub(crate) mod models;
pub(crate) mod requests;
pub(crate) mod steps;
pub(crate) mod view;
pub(crate) mod webhooks;
