//! Kinds of values, in words.

use maud::{Markup, html};
use serde_json::Value;

use super::table::{table, text};

/// Where the description keeps its objects.
const OBJECTS: &str = "#/components/schemas/";

/// The name of the object that a schema refers to.
pub(super) fn referred(schema: &Value) -> Option<&str> {
    text(&schema["$ref"]).strip_prefix(OBJECTS)
}

/// What kind of value a schema asks for.
pub(super) fn kind(schema: &Value) -> Markup {
    if let Some(name) = referred(schema) {
        return html! { a href={ "#object-" (name) } { (name) } };
    }
    if let Some(choices) = choices(schema) {
        return html! { @for (at, choice) in choices.iter().enumerate() {
            @if at > 0 { " or " } (kind(choice))
        } };
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().map(text).collect();
        return html! { (words.join(", ")) };
    }
    match named(schema) {
        "array" => html! { "list of " (kind(&schema["items"])) },
        "object" => match schema["properties"].as_object() {
            Some(properties) => {
                html! { "object with " @for (at, (name, value)) in properties.iter().enumerate() {
                    @if at > 0 { ", " } code { (name) } " (" (kind(value)) ")"
                } }
            }
            None => html! { "object" },
        },
        "" => html! { "any value" },
        name => html! { (name) (range(schema)) },
    }
}

/// The fields of an object, or what it may be.
pub(super) fn fields(schema: &Value) -> Markup {
    let Some(properties) = schema["properties"].as_object() else {
        return html! { p { (kind(schema)) } };
    };
    let required = schema["required"].as_array();
    let needed = |name: &str| required.is_some_and(|names| names.iter().any(|n| n == name));
    table(
        &["Field", "Value", ""],
        &html! { @for (name, value) in properties { tr {
            td { code { (name) } @if !needed(name) { " (optional)" } }
            td { (kind(value)) }
            td { (text(&value["description"])) }
        } } },
    )
}

/// The schemas, one of them to be fulfilled.
pub(super) fn choices(schema: &Value) -> Option<Vec<&Value>> {
    let all = schema["oneOf"].as_array().or(schema["anyOf"].as_array())?;
    let is_value = |choice: &&Value| choice["type"] != "null";
    Some(all.iter().filter(is_value).collect())
}

/// The type of a schema; of one that may be missing, the other one.
pub(super) fn named(schema: &Value) -> &str {
    let names = schema["type"].as_array();
    let value = names.and_then(|names| names.iter().find(|name| *name != "null"));
    text(value.unwrap_or(&schema["type"]))
}

fn range(schema: &Value) -> String {
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(" from {least}"),
        (None, Some(most)) => format!(" up to {most}"),
        (None, None) => String::new(),
    }
}
