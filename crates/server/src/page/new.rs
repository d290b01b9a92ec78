//! The form of a new request, which shows whom it would touch before it is filed.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Redirect, Response};
use disinherit_audit::{counts, graph_of, models, still, unreached};
use disinherit_desk::{ErasureScope, Terms};
use disinherit_report::ScopeGraph;
use maud::html;
use serde::Deserialize;

use super::form::Form;
use super::frame::{Frame, problem, told};
use super::links::model_link;
use crate::api::requests::{ForgetBody, NewBody, known};
use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::when::end_of;

/// The form as it is sent.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Filling {
    what: String,
    names: String,
    /// A file with more names.
    list: String,
    from: String,
    requester: String,
    basis: String,
    deadline: String,
    /// `preview` or `file`.
    then: String,
}

impl Filling {
    /// With the names of the file among the others: a page that is shown again cannot choose it again.
    fn gathered(mut self) -> Self {
        let list = std::mem::take(&mut self.list);
        if !list.trim().is_empty() {
            let names = self.names.trim_end();
            let between = if names.is_empty() { "" } else { "\n" };
            self.names = format!("{names}{between}{}", list.trim().replace('\r', ""));
        }
        self
    }

    fn body(&self) -> Result<NewBody, Problem> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let lines = |text: &str| -> Vec<String> {
            let parts = text.split(['\n', ',']).map(|part| part.trim().to_owned());
            parts.filter(|part| !part.is_empty()).collect()
        };
        let names = lines(&self.names);
        Ok(NewBody {
            forget: match self.what.as_str() {
                "source" => ForgetBody::Source(self.names.trim().to_owned()),
                "samples" => ForgetBody::Samples(names.into_iter().collect()),
                _ => ForgetBody::Classes(names.into_iter().collect()),
            },
            from: lines(&self.from),
            requester: text(&self.requester),
            basis: text(&self.basis),
            received: None,
            deadline: match self.deadline.as_str() {
                "" => None,
                date => Some(end_of(date).map_err(Problem::bad)?),
            },
        })
    }
}

pub(super) async fn show(Extension(caller): Extension<Option<Caller>>) -> Response {
    form(caller.as_ref(), &Filling::default(), None)
}

pub(super) async fn send(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Form(filling): Form<Filling>,
) -> Response {
    let caller = match known(caller) {
        Ok(caller) => caller,
        Err(error) => return problem(None, &error),
    };
    let filling = filling.gathered();
    let done = match filling.then.as_str() {
        "file" => file(&app, &caller, &filling).await.map(Err),
        _ => preview(&app, &caller, &filling).await.map(Ok),
    };
    match done {
        Ok(Err(to)) => to.into_response(),
        Ok(Ok(scope)) => form(Some(&caller), &filling, Some(Ok(&scope))),
        Err(error) => form(Some(&caller), &filling, Some(Err(&error))),
    }
}

async fn preview(
    app: &Arc<App>,
    caller: &Caller,
    filling: &Filling,
) -> Result<(ErasureScope, ScopeGraph), Problem> {
    let body = filling.body()?;
    let scope = app.at_desk(&caller.name, |desk, registry| {
        let scope = desk.preview(&body.filed(registry)?.request, &Terms::default())?;
        let graph = graph_of(registry, &scope)?;
        Ok((scope, graph))
    });
    scope.await
}

async fn file(app: &Arc<App>, caller: &Caller, filling: &Filling) -> Result<Redirect, Problem> {
    let body = filling.body()?;
    let filed = app.at_desk(&caller.name, |desk, registry| {
        Ok(desk.file(body.filed(registry)?)?)
    });
    Ok(Redirect::to(&format!("/requests/{}", filed.await?.id)))
}

fn form(
    caller: Option<&Caller>,
    filling: &Filling,
    shown: Option<Result<&(ErasureScope, ScopeGraph), &Problem>>,
) -> Response {
    let kinds = [
        ("classes", "Classes"),
        ("source", "A source"),
        ("samples", "Samples"),
    ];
    let frame = Frame {
        title: "New request",
        at: "/new",
        caller,
        changing: false,
    };
    frame.around(&html! {
        h1 { "New request" }
        @if let Some(Err(error)) = shown { (told(error)) }
        div.two {
            form method="post" action="/new" enctype="multipart/form-data" {
                label for="what" { "What must be forgotten" }
                select id="what" name="what" { @for (value, name) in kinds {
                    option value=(value) selected[value == filling.what] { (name) } } }
                (names(filling))
                (field("requester", "Who asked", &filling.requester, "A pseudonym. The log keeps it for good."))
                (field("basis", "Legal basis", &filling.basis, "Such as GDPR Art. 17(1)(b)."))
                label for="deadline" { "Deadline" }
                input id="deadline" name="deadline" type="date" value=(filling.deadline) aria-describedby="deadline-hint";
                p.hint id="deadline-hint" { "One month from now when not given." }
                (field("from", "Initial models", &filling.from, "Found by what they were trained on when not given."))
                p.actions {
                    button type="submit" name="then" value="preview" formaction="/new#scope" { "Show whom it touches" }
                    button.main type="submit" name="then" value="file" { "File it" }
                }
            }
            section.panel id="scope" aria-label="Whom it would touch" {
                h2 { "Whom it would touch" }
                @match shown {
                    Some(Ok((scope, graph))) => {
                        (counts(scope))
                        (still(graph))
                        details { summary { "Each model with the reason" } (models(scope, false, &model_link)) }
                        h3 { "What it cannot reach" }
                        (unreached(scope))
                        p.soft { "Nothing is filed yet." }
                    }
                    _ => {
                        p { "Show it before you file: which models were trained on it, which inherited from those, by which \
                            way, and what stays as it is because nothing here can reach it." }
                        p.soft { "Showing it files nothing." }
                    }
                }
            }
        }
    })
}

fn field(name: &str, title: &str, value: &str, hint: &str) -> maud::Markup {
    html! {
        label for=(name) { (title) }
        input id=(name) name=(name) value=(value) aria-describedby={ (name) "-hint" };
        p.hint id={ (name) "-hint" } { (hint) }
    }
}

/// What is named to be forgotten, by hand or in a file.
fn names(filling: &Filling) -> maud::Markup {
    html! {
        label for="names" { "Which" }
        textarea id="names" name="names" aria-describedby="names-hint" { (filling.names) }
        p.hint id="names-hint" { "Label names, the name of one source, or sample ids: one a line." }
        label for="list" { "Or a file with them" }
        input id="list" name="list" type="file" accept=".txt,.csv,text/plain,text/csv" aria-describedby="list-hint";
        p.hint id="list-hint" { "Text in UTF-8, one a line or with commas between them, up to 4 MiB." }
    }
}
