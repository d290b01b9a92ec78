//! Calls as they are made with curl.

use serde_json::{Map, Value, json};

use super::schema::{choices, named, referred};

/// How deep objects are followed.
const DEEPEST: usize = 8;

/// The command that makes a call.
pub(super) fn curl(method: &str, path: &str, body: &Value, described: &Value) -> String {
    let path = path.replace("{id}", "1");
    let token = "-H \"Authorization: Bearer $TOKEN\"";
    if method == "GET" {
        let flag = if path.ends_with("/events") { "-N " } else { "" };
        return format!("curl {flag}{token} \"$DESK{path}\"");
    }
    let sent = match body.is_null() {
        true => format!("-X {method}"),
        false => {
            let body = value(body, described, DEEPEST);
            format!("-H \"Content-Type: application/json\" \\\n  -d '{body}'")
        }
    };
    format!("curl {token} {sent} \"$DESK{path}\"")
}

/// A value that fits a schema, with what is required and nothing else.
fn value(schema: &Value, described: &Value, depth: usize) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    let within = |schema: &Value| value(schema, described, depth - 1);
    if let Some(name) = referred(schema) {
        return within(&described["components"]["schemas"][name]);
    }
    if let Some(first) = choices(schema).and_then(|all| all.into_iter().next()) {
        return within(first);
    }
    match named(schema) {
        "array" => json!([within(&schema["items"])]),
        "integer" => json!(1),
        "number" => json!(0.01),
        "boolean" => json!(true),
        "string" => json!("..."),
        _ => {
            let names = schema["required"].as_array().into_iter().flatten();
            let names = names.filter_map(Value::as_str);
            let fields = names.map(|name| (name.to_owned(), within(&schema["properties"][name])));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}
