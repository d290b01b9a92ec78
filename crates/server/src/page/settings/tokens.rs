//! Tokens: who may come in.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::days::{USUAL, number_of_days};
use super::page::{done, told_of};
use super::shown;
use crate::api::requests::known;
use crate::app::{App, Caller};
use crate::identity::{Made, make_token};
use crate::page::form::Form;
use crate::problem::Problem;
use crate::rights::Role;
use crate::when::DAY;

/// A token that is to be made.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(in crate::page) struct NewToken {
    name: String,
    role: String,
    days: String,
}

/// Makes a token, and shows its secret this once.
pub(in crate::page) async fn new_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Form(new): Form<NewToken>,
) -> Response {
    let made = made(&app, caller.clone(), new).await;
    told_of(&app, caller, made, shown::made_token).await
}

async fn made(app: &Arc<App>, caller: Option<Caller>, new: NewToken) -> Result<Made, Problem> {
    let by = known(caller)?.name;
    let role: Role = new.role.parse().map_err(Problem::bad)?;
    let days = number_of_days(&new.days, USUAL)?;
    let name = new.name.trim().to_owned();
    app.read(move |registry| {
        let made = make_token(registry, &by, &name, role, days * DAY);
        made.map_err(|error| Problem::bad(error.to_string()))
    })
    .await
}

/// Revokes a token: it is denied from the next call on.
pub(in crate::page) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path<String>,
) -> Response {
    let missing = || Problem::missing("there is no such token that holds");
    let revoked = match id.parse::<i64>() {
        Ok(id) => {
            app.read(move |registry| Ok(registry.revoke_token(id)?))
                .await
        }
        Err(_) => Ok(false),
    };
    done(
        &app,
        caller,
        revoked.and_then(|done| done.then_some(()).ok_or_else(missing)),
    )
    .await
}
