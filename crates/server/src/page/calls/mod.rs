//! The calls in JSON, as a page to read: the OpenAPI description, beside the rights that the calls ask for.

mod example;
mod schema;
mod table;

use std::sync::LazyLock;

use axum::extract::Extension;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use self::example::curl;
use self::schema::{fields, kind};
use self::table::{table, text};
use super::frame::Frame;
use crate::app::Caller;
use crate::described::description;
use crate::rights::{Role, right_of};

/// The description. It is of the code, and the same as long as the server runs.
static DESCRIBED: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(description()).unwrap_or_default());

/// A call as it is described.
struct Call<'a> {
    method: String,
    path: &'a str,
    what: &'a Value,
}

impl Call<'_> {
    /// What the page calls its place.
    fn anchor(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let path = self.path.strip_prefix("/api/v1").unwrap_or(self.path);
        let path: String = path.chars().map(plain).collect();
        format!("{}{path}", self.method.to_lowercase())
    }

    fn group(&self) -> &str {
        text(&self.what["tags"][0])
    }
}

pub(super) async fn show(Extension(caller): Extension<Option<Caller>>) -> Response {
    let calls = calls(&DESCRIBED);
    let mut groups: Vec<&str> = Vec::new();
    for call in &calls {
        if !groups.contains(&call.group()) {
            groups.push(call.group());
        }
    }
    let frame = Frame {
        title: "API",
        at: "/api",
        caller: caller.as_ref(),
        changing: false,
    };
    frame.around(&html! {
        h1 { "API" }
        (introduction())
        nav.panel aria-label="Calls" { @for group in &groups {
            p { strong { (group) } ": "
                @for call in calls.iter().filter(|call| call.group() == *group) {
                    a.call href={ "#" (call.anchor()) } { (call.method) " " (short(call.path)) } " "
                } }
        } }
        @for group in &groups {
            h2 { (group) }
            @for call in calls.iter().filter(|call| call.group() == *group) { (one(call)) }
        }
        h2 { "objects" }
        @for (name, schema) in objects(&DESCRIBED) { (object(name, schema)) }
    })
}

fn introduction() -> Markup {
    html! {
        p { "What a program can ask of this service, in JSON. The same as "
            a href="/api/v1/openapi.json" { "OpenAPI 3.1" } " for generators of clients." }
        p.soft { "In the examples, " code { "$DESK" } " is the address of this service and " code { "$TOKEN" }
            " a token that it knows. Errors are problems (" code { "application/problem+json" } "): "
            a href="#object-Problem" { "what is wrong" } ", and what can be done." }
    }
}

/// All calls, by path.
fn calls(described: &Value) -> Vec<Call<'_>> {
    let paths = described["paths"].as_object().into_iter().flatten();
    let calls = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, what)| Call {
            method: method.to_uppercase(),
            path,
            what,
        })
    });
    calls.collect()
}

fn objects(described: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let schemas = described["components"]["schemas"].as_object();
    schemas.into_iter().flatten()
}

fn one(call: &Call<'_>) -> Markup {
    let what = call.what;
    let parameters = what["parameters"].as_array();
    let body = &what["requestBody"]["content"]["application/json"]["schema"];
    html! {
        section.panel id=(call.anchor()) aria-label={ (call.method) " " (call.path) } {
            h3 { code { (call.method) " " (call.path) } }
            p { (words(what)) }
            p.soft { (who(call)) }
            @if let Some(parameters) = parameters {
                h4 { "Parameters" }
                (table(&["Name", "In", "Value", ""], &html! { @for parameter in parameters { tr {
                    td { code { (text(&parameter["name"])) } }
                    td { (text(&parameter["in"])) @if parameter["required"] == true { ", needed" } }
                    td { (kind(&parameter["schema"])) }
                    td { (text(&parameter["description"])) }
                } } }))
            }
            @if !body.is_null() { h4 { "Body" } p { (kind(body)) } }
            h4 { "Answers" }
            (table(&["Status", "Body", ""], &answers(what)))
            h4 { "Example" }
            pre tabindex="0" role="group" aria-label="Example" { (curl(&call.method, call.path, body, &DESCRIBED)) }
        }
    }
}

fn answers(what: &Value) -> Markup {
    let answers = what["responses"].as_object().into_iter().flatten();
    html! { @for (status, answer) in answers {
        @let content = answer["content"].as_object().and_then(|content| content.iter().next());
        tr {
            td { (status) }
            td { @if let Some((media, content)) = content {
                @if media.contains("json") { (kind(&content["schema"])) } @else { code { (media) } }
            } }
            td { (text(&answer["description"])) }
        }
    } }
}

/// The right that a call asks for, and who has it.
fn who(call: &Call<'_>) -> String {
    let Some(right) = right_of(&call.method, call.path) else {
        return "Denied to everybody.".to_owned();
    };
    let may = Role::ALL.into_iter().filter(|role| role.may(right));
    let names: Vec<&str> = may.map(Role::name).collect();
    match names.len() == Role::ALL.len() {
        true => "For every role.".to_owned(),
        false => format!("For the roles {}.", names.join(", ")),
    }
}

fn object(name: &str, schema: &Value) -> Markup {
    html! {
        section.panel id={ "object-" (name) } aria-label=(name) {
            h3 { code { (name) } }
            @if !text(&schema["description"]).is_empty() { p { (text(&schema["description"])) } }
            (fields(schema))
        }
    }
}

/// What a call does, in one or more sentences.
fn words(what: &Value) -> String {
    let summary = text(&what["summary"]);
    match text(&what["description"]) {
        "" => summary.to_owned(),
        more => format!("{summary} {more}"),
    }
}

fn short(path: &str) -> &str {
    path.strip_prefix("/api/v1").unwrap_or(path)
}
