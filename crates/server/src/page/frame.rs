//! What all pages have around them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use crate::app::Caller;
use crate::problem::Problem;
use crate::rights::Right;

/// How often a page that shows work is read again, in seconds. The page has a link that stops it.
const AGAIN: &str = "3";

/// A page.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// The entry of the menu.
    pub(super) at: &'a str,
    pub(super) caller: Option<&'a Caller>,
    /// Whether it is to be read again by itself.
    pub(super) changing: bool,
}

impl Frame<'_> {
    pub(super) fn around(&self, body: &Markup) -> Response {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) " - disinherit" }
                    link rel="stylesheet" href="/style.css";
                }
                body {
                    a.skip href="#main" { "To the content" }
                    header { (self.menu()) }
                    main id="main" { (body) }
                }
            }
        };
        let mut answer = html_answer(page.into_string());
        if self.changing {
            answer
                .headers_mut()
                .insert(header::REFRESH, HeaderValue::from_static(AGAIN));
        }
        answer
    }

    fn menu(&self) -> Markup {
        let entries = [
            ("/", "Requests", Right::Read),
            ("/new", "New request", Right::File),
            ("/models", "Models", Right::Read),
            ("/log", "Log", Right::Audit),
            ("/settings", "Settings", Right::Administer),
            ("/api", "API", Right::Read),
        ];
        html! {
            nav aria-label="Main" {
                strong { "disinherit" }
                @if let Some(caller) = self.caller {
                    @for (path, name, right) in entries {
                        @if caller.role.may(right) {
                            a href=(path) aria-current=[(path == self.at).then_some("page")] { (name) }
                        }
                    }
                    span.who { (caller.name) " (" (caller.role) ") "
                        form method="post" action="/sign-out" {
                            button.quiet type="submit" { "Sign out" }
                        }
                    }
                }
            }
        }
    }
}

/// The style of all pages.
pub(super) fn style() -> String {
    [
        disinherit_report::DRAWING_STYLE,
        disinherit_audit::STYLE,
        include_str!("style.css"),
    ]
    .concat()
}

/// A page as an answer.
pub(super) fn html_answer(page: String) -> Response {
    let kind = "text/html; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], page).into_response()
}

/// A problem as a page.
pub(super) fn problem(caller: Option<&Caller>, problem: &Problem) -> Response {
    let frame = Frame {
        title: problem.title,
        at: "",
        caller,
        changing: false,
    };
    let mut page = frame.around(&html! {
        h1 { (problem.title) }
        (told(problem))
        p { a href="/" { "To the requests" } }
    });
    *page.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    page
}

/// A problem in a page.
pub(super) fn told(problem: &Problem) -> Markup {
    html! {
        div.panel.problem role="alert" {
            (problem.detail)
            @if let Some(hint) = &problem.hint { br; span.soft { (hint) } }
        }
    }
}
