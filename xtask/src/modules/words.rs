//! The words of names, doc comments and messages: the field's terms (`docs/glossary.md`), in plain English.
//! What is compiled in tests only is left out, as are comments that do not document.

use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::finding::{Finding, Rule};

/// Words that are not used, with what is said instead.
const WORDS: [(&[&str], &str); 17] = [
    (&["heir", "heirs"], "descendant, inherited model"),
    (
        &["mend", "mends", "mended", "mending"],
        "edit, unlearn, repair",
    ),
    (&["rival", "rivals"], "baseline"),
    (&["lesson", "lessons", "newborn"], "training configuration"),
    (&["exam", "exams", "examiner"], "evaluation set"),
    (&["kin", "kinship"], "parent inference"),
    (&["revisit", "revisits"], "request report"),
    (&["yardstick", "yardsticks"], "retrained baseline"),
    (&["stand-in", "stand-ins"], "fallback"),
    (&["stranger", "strangers"], "untrusted input"),
    (&["lowered"], "logit suppression, lower"),
    (&["tuned"], "fine-tuned"),
    (&["whoever"], "a noun: the process, the caller"),
    (&["nobody"], "a noun: no process, no caller"),
    (&["of which"], "two sentences, or `whose`"),
    (&["make good"], "repair"),
    (&["samples elsewhere"], "external samples"),
];

/// Names that are not used, word for word.
const NAMES: [(&str, &str); 4] = [
    ("course", "settings"),
    ("form_of", "format_of"),
    ("add_bundle", "add_model_file"),
    ("lowering", "suppression"),
];

/// Where an older word stays, since it is part of what was stored or measured, or says where something is drawn.
const KEPT: [(&str, &str); 4] = [
    ("lab/src/grow.rs", "heirs"),
    ("lab/src/grow.rs", "heir"),
    ("report/src/layout.rs", "lowered"),
    ("benches/src/service.rs", "tuned"),
];

/// This file, which names them all.
const OWN: &str = "xtask/src/modules/words.rs";

/// A word of a name or of prose, and its line.
struct Word {
    text: String,
    line: usize,
    prose: bool,
}

/// What a file of Rust says in other words than the field's.
///
/// # Errors
/// Code that cannot be read.
pub(super) fn in_rust(path: &Path, text: &str) -> Result<Vec<Finding>, String> {
    if path.ends_with(OWN) {
        return Ok(Vec::new());
    }
    let tokens: TokenStream = text
        .parse()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let mut code = Code::default();
    code.read(tokens);
    let mut found = check(path, &code.words);
    found.extend(code.names.iter().filter_map(|(name, line)| {
        let (_, instead) = NAMES.iter().find(|(other, _)| other == name)?;
        Some(finding(path, *line, name, instead))
    }));
    let of = |line: &usize| finding(path, *line, "of", "`new`, `from_*`, `for_*`");
    found.extend(code.constructors.iter().map(of));
    Ok(found)
}

/// What a file of Python says in other words than the field's, comments and all.
pub(super) fn in_python(path: &Path, text: &str) -> Vec<Finding> {
    let lines = text.lines().zip(1..);
    let words: Vec<Word> = lines.flat_map(|(text, line)| prose(text, line)).collect();
    check(path, &words)
}

fn check(path: &Path, words: &[Word]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).filter(|next| word.prose && next.prose);
        let pair = next.map(|next| format!("{} {}", word.text, next.text));
        let kept = KEPT
            .iter()
            .any(|(file, kept)| path.ends_with(file) && *kept == word.text);
        for (others, instead) in WORDS.iter().filter(|_| !kept) {
            let said = [Some(&word.text), pair.as_ref()];
            let said = said.into_iter().flatten();
            if let Some(other) = said
                .into_iter()
                .find(|said| others.contains(&said.as_str()))
            {
                found.push(finding(path, word.line, other, instead));
            }
        }
    }
    found
}

fn finding(path: &Path, line: usize, word: &str, instead: &str) -> Finding {
    Finding {
        rule: Rule::Word,
        file: path.to_owned(),
        line,
        message: format!("`{word}` is not a word of the glossary"),
        help: format!("say: {instead}"),
    }
}

/// What a file of Rust names and says.
#[derive(Default)]
struct Code {
    words: Vec<Word>,
    /// Whole identifiers.
    names: Vec<(String, usize)>,
    /// Lines with a function `of` that takes no `self`.
    constructors: Vec<usize>,
}

impl Code {
    fn read(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut before = [String::new(), String::new()];
        while let Some(token) = tokens.next() {
            if let TokenTree::Group(group) = &token {
                if is_for_tests(group) && before[1] == "#" {
                    skip_item(&mut tokens);
                    continue;
                }
                self.look_at_parameters(&before, group);
                self.read(group.stream());
            }
            match &token {
                TokenTree::Ident(name) => self.name(&name.to_string(), name.span().start().line),
                TokenTree::Literal(value) => {
                    let text = value.to_string();
                    if text.ends_with(['"', '#']) {
                        self.words.extend(prose(&text, value.span().start().line));
                    }
                }
                TokenTree::Group(_) | TokenTree::Punct(_) => {}
            }
            before = [std::mem::take(&mut before[1]), token.to_string()];
        }
    }

    fn name(&mut self, name: &str, line: usize) {
        // The attribute that a doc comment is.
        if name == "doc" {
            return;
        }
        self.names.push((name.to_owned(), line));
        self.words.extend(parts(name).into_iter().map(|text| Word {
            text,
            line,
            prose: false,
        }));
    }

    /// `fn of(...)` that makes something out of what it is given.
    fn look_at_parameters(&mut self, before: &[String; 2], group: &Group) {
        let own = group
            .stream()
            .into_iter()
            .take(4)
            .any(|token| token.to_string() == "self");
        let is_function = before[0] == "fn" && group.delimiter() == Delimiter::Parenthesis;
        if is_function && before[1] == "of" && !own {
            self.constructors.push(group.span_open().start().line);
        }
    }
}

/// Whether the inside of an attribute says that its item is compiled in tests only.
fn is_for_tests(group: &Group) -> bool {
    let text = group.stream().to_string().replace(' ', "");
    group.delimiter() == Delimiter::Bracket && (text == "test" || text.starts_with("cfg(test"))
}

/// Passes over an item: up to its block, or its end.
fn skip_item(tokens: &mut impl Iterator<Item = TokenTree>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            TokenTree::Punct(mark) if mark.as_char() == ';' => return,
            _ => {}
        }
    }
}

/// The words of prose, in lower case.
fn prose(text: &str, line: usize) -> Vec<Word> {
    let text = text.replace("\\n", " ").to_lowercase();
    let words = text.split(|c: char| !c.is_alphabetic() && c != '-' && c != '_');
    let words = words.filter(|word| !word.is_empty());
    let word = |text: &str| Word {
        text: text.to_owned(),
        line,
        prose: true,
    };
    words.map(word).collect()
}

/// The words of a name, in lower case: `NoModelTrained` and `no_model_trained` have three.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut().filter(|_| c != '_') {
            last.extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(text: &str) -> Vec<(usize, String)> {
        let found = in_rust(Path::new("src/lib.rs"), text).unwrap();
        let mut told: Vec<_> = found.into_iter().map(|f| (f.line, f.message)).collect();
        told.sort();
        told
    }

    #[test]
    fn names_docs_and_messages_are_read() {
        let text = "/// A file of\n/// which much is said.\nfn mend_it() {}\n\
                    struct HeirList;\nfn f() { panic!(\"as nobody\\nknows\") }\n\
                    fn g(course: u8) {}\n// whoever\n\
                    #[cfg(test)]\nmod tests { fn mend() { \"heir\" } }\nfn exam() {}\n";
        let lines: Vec<usize> = told(text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 10]);
        assert_eq!(
            told("/// Fine-tuned by the caller.\nfn amend(exams_: u8) {}").len(),
            1
        );
    }

    #[test]
    fn constructors_say_what_they_are_made_from() {
        let text = "impl A { fn of(x: u8) -> Self { A } }\nimpl A { fn of(&self, x: u8) {} }\n";
        assert_eq!(told(text).len(), 1);
    }

    #[test]
    fn kept_words_are_kept_in_their_file_alone() {
        let text = "const OLD: &str = \"heirs that\";";
        let found = |path: &str| in_rust(Path::new(path), text).unwrap().len();
        assert_eq!(
            (
                found("crates/lab/src/grow.rs"),
                found("crates/lab/src/lib.rs")
            ),
            (0, 1)
        );
    }

    #[test]
    fn python_is_read_line_by_line() {
        let found = in_python(Path::new("a.py"), "x = 1\n# where nobody says\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
    }
}
