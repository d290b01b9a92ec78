//! Forms with files (`multipart/form-data`, RFC 7578); every part is a text.

/// The most parts of a form.
const MOST: usize = 32;

/// The longest text of a part, in bytes.
const LONGEST: usize = 4 << 20;

/// The longest boundary (RFC 2046).
const BOUNDARY: usize = 70;

/// The boundary between the parts; nothing where a form is of another kind.
pub(super) fn boundary(kind: &str) -> Option<&str> {
    let rest = kind.strip_prefix("multipart/form-data")?;
    let mut given = rest.split(';').map(str::trim);
    let text = given.find_map(|given| given.strip_prefix("boundary="))?;
    let text = text.trim_matches('"');
    (1..=BOUNDARY).contains(&text.len()).then_some(text)
}

/// The fields with their texts, in their order.
pub(super) fn fields(body: &[u8], boundary: &str) -> Result<Vec<(String, String)>, String> {
    let broken = || "the form is broken off, or its parts cannot be told apart".to_owned();
    let (first, between) = (format!("--{boundary}"), format!("\r\n--{boundary}"));
    let mut rest = body.strip_prefix(first.as_bytes()).ok_or_else(broken)?;
    let mut fields = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        if fields.len() == MOST {
            return Err(format!("a form has {MOST} fields at most"));
        }
        let (head, after) = split(part, b"\r\n\r\n").ok_or_else(broken)?;
        let (text, after) = split(after, between.as_bytes()).ok_or_else(broken)?;
        let name = name(head).ok_or_else(broken)?;
        fields.push((name.clone(), text_of(&name, text)?));
        rest = after;
    }
    match rest.starts_with(b"--") {
        true => Ok(fields),
        false => Err(broken()),
    }
}

fn text_of(name: &str, text: &[u8]) -> Result<String, String> {
    if text.len() > LONGEST {
        let most = LONGEST >> 20;
        return Err(format!(
            "`{name}` is larger than {most} MiB: file the request with the command line or over JSON"
        ));
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = std::str::from_utf8(text).map_err(|_| format!("`{name}` is no text in UTF-8"))?;
    Ok(text.to_owned())
}

/// The name of a part, from its head.
fn name(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let line = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let wanted = name.eq_ignore_ascii_case("content-disposition");
        wanted.then_some(value)
    })?;
    let (_, rest) = line.split_once("; name=\"")?;
    rest.split('"').next().map(str::to_owned)
}

/// What is before the first place of a mark, and what after it.
fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|part| part == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"what\"\r\n\r\nsamples\r\n\
                        --b\r\nContent-Disposition: form-data; name=\"list\"; filename=\"a;b.txt\"\r\n\
                        Content-Type: text/plain\r\n\r\n\u{feff}one\r\n--two\n\r\n--b--\r\n";

    #[test]
    fn files_are_fields() {
        let kind = "multipart/form-data; boundary=\"b\"";
        let read = fields(FORM.as_bytes(), boundary(kind).unwrap()).unwrap();
        let expected = [("what", "samples"), ("list", "one\r\n--two\n")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(read, expected);
        assert_eq!(fields(b"--b--", "b").unwrap(), []);
    }

    #[test]
    fn broken_forms_are_refused() {
        assert_eq!(boundary("text/plain; boundary=b"), None);
        assert_eq!(boundary("multipart/form-data"), None);
        assert_eq!(boundary("multipart/form-data; boundary="), None);
        for end in 0..FORM.len() - 4 {
            assert!(fields(&FORM.as_bytes()[..end], "b").is_err(), "{end}");
        }
        assert!(fields(FORM.as_bytes(), "c").is_err());
        let part = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n";
        let end = "\r\n--b--";
        let large = "x".repeat(LONGEST + 1);
        assert!(fields(format!("{part}{large}{end}").as_bytes(), "b").is_err());
        let binary = [part.as_bytes(), b"\xff\xfe", end.as_bytes()].concat();
        assert!(fields(&binary, "b").unwrap_err().contains("UTF-8"));
        let many = format!(
            "--b\r\n{}",
            format!("{}y\r\n--b\r\n", &part[5..]).repeat(MOST + 1)
        );
        assert!(
            fields(many.as_bytes(), "b")
                .unwrap_err()
                .contains("at most")
        );
        let nameless = "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--";
        assert!(fields(nameless.as_bytes(), "b").is_err());
    }
}
