//! Cookies of the page: how they are read, and how they are set.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// The cookie with the token of somebody who has signed in.
pub(crate) const SESSION: &str = "disinherit_token";

/// How long a browser keeps a sign-in, in seconds.
const SESSION_SECONDS: u64 = 43_200;

/// With which calls a browser sends a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SameSite {
    /// With those that pages of this service make.
    Strict,
    /// Also when another site sends the visitor here.
    Lax,
}

/// A cookie that only this server gets, and no script can read.
#[derive(Debug)]
pub(crate) struct Cookie<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
    /// How long it is kept; 0 takes it away.
    pub(crate) seconds: u64,
    /// Whether it goes over TLS only.
    pub(crate) secure: bool,
    pub(crate) same_site: SameSite,
}

impl<'a> Cookie<'a> {
    /// A sign-in.
    pub(crate) fn session(token: &'a str, secure: bool) -> Self {
        Self {
            name: SESSION,
            value: token,
            seconds: SESSION_SECONDS,
            secure,
            same_site: SameSite::Strict,
        }
    }

    /// The end of a sign-in.
    pub(crate) fn no_session() -> Self {
        Self {
            seconds: 0,
            ..Self::session("", false)
        }
    }

    /// Has a browser keep it.
    pub(crate) fn set_on(&self, answer: &mut Response) {
        let (name, value, seconds) = (self.name, self.value, self.seconds);
        let secure = if self.secure { "; Secure" } else { "" };
        let site = match self.same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
        };
        let text =
            format!("{name}={value}; Max-Age={seconds}{secure}; Path=/; HttpOnly; SameSite={site}");
        if let Ok(text) = HeaderValue::from_str(&text) {
            answer.headers_mut().append(header::SET_COOKIE, text);
        }
    }
}

/// The value of a cookie that came with a call.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter();
    let mut pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let found = pairs.find(|(known, _)| *known == name);
    found.map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; not_b=2", "b=3=4;c="] {
            headers.append(header::COOKIE, HeaderValue::from_static(line));
        }
        let read = |name| cookie(&headers, name);
        assert_eq!(read("b").as_deref(), Some("3=4"));
        assert_eq!(read("c").as_deref(), Some(""));
        assert_eq!(read("d"), None);
    }
}
