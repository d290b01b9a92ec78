//! Forms with files (`multipart/form-data`); every part is a text.

use axum::extract::{FromRequest, Multipart, Request};

use crate::problem::Problem;

/// The most parts of a form.
const MOST: usize = 32;

/// The longest text of a part, in bytes.
const LONGEST: usize = 4 << 20;

/// The kind of such a form.
pub(super) const KIND: &str = "multipart/form-data";

/// The fields with their texts, in their order; nothing where the request does not say how its parts are told apart.
pub(super) async fn fields(
    request: Request,
    state: &(impl Send + Sync),
) -> Result<Option<Vec<(String, String)>>, Problem> {
    let Ok(mut form) = Multipart::from_request(request, state).await else {
        return Ok(None);
    };
    let broken = || Problem::bad("the form is broken off, or its parts cannot be told apart");
    let mut fields = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|_| broken())? {
        if fields.len() == MOST {
            return Err(Problem::bad(format!("a form has {MOST} fields at most")));
        }
        let name = field.name().ok_or_else(broken)?.to_owned();
        let bytes = field.bytes().await.map_err(|_| broken())?;
        fields.push((name.clone(), text_of(&name, &bytes)?));
    }
    Ok(Some(fields))
}

fn text_of(name: &str, text: &[u8]) -> Result<String, Problem> {
    if text.len() > LONGEST {
        let most = LONGEST >> 20;
        return Err(Problem::bad(format!(
            "`{name}` is larger than {most} MiB: file the request with the command line or over JSON"
        )));
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = std::str::from_utf8(text);
    let text = text.map_err(|_| Problem::bad(format!("`{name}` is no text in UTF-8")))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::body::Body;

    use super::*;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"what\"\r\n\r\nsamples\r\n\
                        --b\r\nContent-Disposition: form-data; name=\"list\"; filename=\"a;b.txt\"\r\n\
                        Content-Type: text/plain\r\n\r\n\u{feff}one\r\n--two\n\r\n--b--\r\n";

    async fn read(
        kind: &str,
        body: impl Into<Body>,
    ) -> Result<Option<Vec<(String, String)>>, Problem> {
        let request = Request::post("/new").header("content-type", kind);
        fields(request.body(body.into()).unwrap(), &()).await
    }

    #[tokio::test]
    async fn files_are_fields() {
        let read = read("multipart/form-data; boundary=\"b\"", FORM).await;
        let expected = [("what", "samples"), ("list", "one\r\n--two\n")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(read.unwrap().unwrap(), expected);
    }

    #[tokio::test]
    async fn broken_forms_are_refused() {
        for kind in [
            "text/plain; boundary=b",
            KIND,
            "multipart/form-data; boundary=",
        ] {
            assert!(
                !matches!(read(kind, FORM).await, Ok(Some(fields)) if !fields.is_empty()),
                "{kind}"
            );
        }
        let kind = "multipart/form-data; boundary=b";
        for end in 0..FORM.len() - 4 {
            assert!(
                read(kind, &FORM[..FORM.floor_char_boundary(end)])
                    .await
                    .is_err(),
                "{end}"
            );
        }
        assert!(read("multipart/form-data; boundary=c", FORM).await.is_err());
        let part = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n";
        let end = "\r\n--b--";
        let large = "x".repeat(LONGEST + 1);
        assert!(read(kind, format!("{part}{large}{end}")).await.is_err());
        assert!(
            read(
                kind,
                [part.as_bytes(), b"\xff\xfe", end.as_bytes()].concat()
            )
            .await
            .is_err()
        );
        let many = format!("{}--b--", format!("{part}y\r\n").repeat(MOST + 1));
        assert!(read(kind, many).await.is_err());
        let nameless = "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--";
        assert!(read(kind, nameless).await.is_err());
    }
}
