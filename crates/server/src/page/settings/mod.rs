//! What administrators decide: who may come in, who is told, four eyes, how long replaced versions are kept.

mod days;
mod page;
mod policies;
mod shown;
mod tokens;
mod webhooks;

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;

use self::page::{News, page};
pub(super) use self::policies::{four_eyes, retention};
pub(super) use self::tokens::{new_token, revoke};
pub(super) use self::webhooks::{new_webhook, pause, remove, resume, test};
use crate::app::{App, Caller};

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
) -> Response {
    page(&app, caller, News::None).await
}
