//! Where somebody goes after signing in: a place on this service, and nowhere else.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// The longest path that is kept, in bytes.
const LONGEST: usize = 1000;

/// A service that only stands for this one while paths are read.
const HERE: &str = "http://here.invalid/";

/// What is no place to go to: signing in and out.
const NO_PLACE: &str = "/sign-";

/// What is written as a percentage in the value of a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'/');

/// A path on this service, with its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination(String);

impl Destination {
    /// Reads a path as browsers read it. What would lead to another site is the first page instead.
    pub(crate) fn read(text: &str) -> Self {
        local(text).map_or_else(Self::default, Self)
    }

    /// The path.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// This path, or one below it, with the destination as `to` where that says something.
    pub(crate) fn after(&self, path: &str) -> String {
        match *self == Self::default() {
            true => path.to_owned(),
            false => format!("{path}?to={}", utf8_percent_encode(&self.0, ENCODED)),
        }
    }
}

impl Default for Destination {
    fn default() -> Self {
        Self("/".into())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path and query of a text that stays here.
fn local(text: &str) -> Option<String> {
    // What reads paths leaves out line breaks, instead of refusing them.
    if text.len() > LONGEST || !text.starts_with('/') || text.contains(char::is_control) {
        return None;
    }
    let here = Url::parse(HERE).ok()?;
    let there = here.join(text).ok()?;
    if there.origin() != here.origin() {
        return None;
    }
    let path = there.path();
    // Browsers read `//other.example` as another site, and it can come about by leaving out dots.
    let is_place = path.starts_with('/') && !path.starts_with("//") && !path.starts_with(NO_PLACE);
    let query = there.query().map(|query| format!("?{query}"));
    is_place.then(|| format!("{path}{}", query.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_on_this_service() {
        for (text, path) in [
            ("/", "/"),
            ("/requests/7", "/requests/7"),
            ("/?state=all&newest=true", "/?state=all&newest=true"),
            ("/models/org%2Fbase@1", "/models/org%2Fbase@1"),
            ("/log#end", "/log"),
        ] {
            assert_eq!(Destination::read(text).as_str(), path, "{text}");
        }
        for wrong in [
            "",
            "requests",
            "https://evil.example/",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "\\\\evil.example",
            "/.//evil.example",
            "/x/..//evil.example",
            "/%2e//evil.example",
            "javascript:alert(1)",
            "/sign-in/issuer",
            "/sign-out",
            "/log\r\nset-cookie: a=b",
            "/log\0",
        ] {
            assert_eq!(Destination::read(wrong).as_str(), "/", "{wrong}");
        }
        let long = format!("/{}", "x".repeat(LONGEST));
        assert_eq!(Destination::read(&long), Destination::default());
    }

    #[test]
    fn a_destination_is_carried_in_a_query() {
        let place = Destination::read("/?state=all&newest=true");
        assert_eq!(
            place.after("/sign-in"),
            "/sign-in?to=/%3Fstate%3Dall%26newest%3Dtrue"
        );
        assert_eq!(Destination::default().after("/sign-in"), "/sign-in");
    }
}
