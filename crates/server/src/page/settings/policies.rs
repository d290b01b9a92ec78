//! Policies: four eyes, and how long replaced versions are kept.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use serde::Deserialize;

use super::days::{USUAL, number_of_days};
use super::page::done;
use crate::app::{App, Caller};
use crate::page::form::Form;
use crate::problem::Problem;

/// A switch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::page) struct Switch {
    /// `on` or `off`.
    to: String,
}

/// How long replaced versions are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::page) struct Keep {
    /// Days; no end where empty.
    days: String,
}

pub(in crate::page) async fn four_eyes(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Form(switch): Form<Switch>,
) -> Response {
    let set = match switch.to.as_str() {
        "on" | "off" => {
            let asked = switch.to == "on";
            app.read(move |registry| Ok(registry.set_four_eyes(asked)?))
                .await
        }
        other => Err(Problem::bad(format!(
            "four eyes are `on` or `off`, not `{other}`"
        ))),
    };
    done(&app, caller, set).await
}

pub(in crate::page) async fn retention(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Form(keep): Form<Keep>,
) -> Response {
    let days = match keep.days.trim() {
        "" => Ok(None),
        text => number_of_days(text, USUAL).map(Some),
    };
    let set = match days {
        Ok(days) => {
            app.read(move |registry| {
                let days = days.map(|days| format!("{days}d"));
                Ok(registry.set_retention(days.as_deref())?)
            })
            .await
        }
        Err(error) => Err(error),
    };
    done(&app, caller, set).await
}
