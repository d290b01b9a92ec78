//! The pages against the repository and the command line: links lead somewhere, every page is in the
//! book, words are those of the glossary, and every command and flag that a page names exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use disinherit_testkit::skipped;
use regex::Regex;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Markdown files of a folder.
fn pages_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|name| name == "md"))
        .collect();
    pages.sort();
    pages
}

/// All Markdown files: of the repository, the book, the Python package, the clusters' files and the crates.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in [".", "docs", "python", "deploy"] {
        pages.extend(pages_in(&root().join(folder)));
    }
    for folders in ["crates", "deploy"] {
        for entry in std::fs::read_dir(root().join(folders)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pages.extend(pages_in(&path));
            }
        }
    }
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

/// A page in two parts: its code, as commands a line each, and its text without the code.
struct Page {
    code: Vec<String>,
    text: String,
}

impl Page {
    fn read(path: &Path) -> Self {
        let mut code = Vec::new();
        let mut text = String::new();
        let mut fenced = false;
        for line in std::fs::read_to_string(path).unwrap().lines() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if fenced || line.starts_with("    ") {
                code.push(line.to_owned());
            } else {
                text.push_str(line);
                text.push('\n');
            }
        }
        assert!(!fenced, "{}: a code block without end", path.display());
        let span = Regex::new("`[^`]+`").unwrap();
        for found in span.find_iter(&text) {
            code.push(found.as_str().trim_matches('`').replace('\n', " "));
        }
        Self {
            code: joined(&code),
            text: span.replace_all(&text, "code").into_owned(),
        }
    }
}

/// Lines with those joined that end in a backslash.
fn joined(lines: &[String]) -> Vec<String> {
    let mut whole: Vec<String> = Vec::new();
    let mut open = false;
    for line in lines {
        let more = line.trim_end().ends_with('\\');
        let line = line.trim().trim_end_matches('\\').trim_end();
        match whole.last_mut().filter(|_| open) {
            Some(last) => {
                last.push(' ');
                last.push_str(line);
            }
            None => whole.push(line.to_owned()),
        }
        open = more;
    }
    whole
}

/// The anchors of a page's headings.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut fenced = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        if !fenced && title.len() < line.len() && title.starts_with(' ') {
            let kept = title.trim().to_lowercase();
            let kept = kept
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            anchors.insert(kept.collect::<String>().replace(' ', "-"));
        }
    }
    anchors
}

#[test]
fn every_relative_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut checked = 0;
    let mut broken = Vec::new();
    for path in pages() {
        for found in link.captures_iter(&Page::read(&path).text) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            checked += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            if !file.exists() || (!anchor.is_empty() && !anchors(&file).contains(anchor)) {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(checked > 50, "only {checked} links found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_book_and_in_its_overview() {
    let docs = root().join("docs");
    for overview in ["SUMMARY.md", "README.md"] {
        let text = std::fs::read_to_string(docs.join(overview)).unwrap();
        for page in pages_in(&docs) {
            let name = page.file_name().unwrap().to_string_lossy();
            let listed = text.contains(&format!("]({name})"));
            assert!(
                listed || ["SUMMARY.md", "README.md"].contains(&&*name),
                "{overview} does not name {name}"
            );
        }
    }
}

/// Whether the tests run in a clone that has the history.
fn has_history() -> bool {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(root()).args(arguments);
        git.output().ok().filter(|done| done.status.success())
    };
    let shallow = git(&["rev-parse", "--is-shallow-repository"]);
    shallow.is_some_and(|done| done.stdout.starts_with(b"false"))
}

#[test]
fn commits_that_are_given_as_examples_are_in_the_history() {
    let text = std::fs::read_to_string(root().join("docs/design.md")).unwrap();
    let table = text.split("## Where do I put").nth(1).unwrap();
    let rows: Vec<&str> = table
        .lines()
        .skip_while(|line| !line.starts_with("| --- |"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 15, "{rows:?}");
    let hash = Regex::new(r"\| `([0-9a-f]{7,})`: [^|]*; \d+ files, [\d,]+ lines \|$").unwrap();
    let hashes = rows.iter().map(|row| {
        let found = hash.captures(row);
        found.unwrap_or_else(|| panic!("no example: {row}"))[1].to_owned()
    });
    let hashes: BTreeSet<String> = hashes.collect();
    if !has_history() {
        return skipped(
            "commits that pages name",
            "there is no history here, or a part of it",
        );
    }
    for hash in hashes {
        let mut git = Command::new("git");
        let known = git
            .arg("-C")
            .arg(root())
            .args(["merge-base", "--is-ancestor", &hash, "HEAD"]);
        assert!(known.status().unwrap().success(), "no commit {hash}");
    }
}

/// The source files below a folder.
fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path
            .extension()
            .is_some_and(|kind| kind == "rs" || kind == "py")
        {
            found.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// What a page promises is shown by a test, which it names as it is called.
#[test]
fn every_test_that_a_page_names_exists() {
    let mut code = String::new();
    for folder in ["crates", "python/tests", "xtask"] {
        sources(&root().join(folder), &mut code);
    }
    // Names of tests are sentences: three words at least.
    let named = Regex::new(r"`([a-z0-9]+(?:_[a-z0-9]+){2,})`").unwrap();
    for (page, least) in [("docs/security.md", 30), ("docs/reliability.md", 8)] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let names: BTreeSet<&str> = named
            .captures_iter(&text)
            .map(|found| found.extract::<1>().1[0])
            .collect();
        assert!(names.len() >= least, "{page}: {names:?}");
        for name in names {
            let is_there = ["fn", "def"]
                .iter()
                .any(|word| code.contains(&format!("{word} {name}(")));
            assert!(is_there, "{page} names `{name}`, which is no test");
        }
    }
}

#[test]
fn pages_use_the_terms_of_the_glossary() {
    let other = r"(?i)\b(heirs?|mend(?:s|ed|ing)?|rivals?|yardsticks?|stand-ins?|strangers?|lessons?|kinship|whoever|nobody|of which)\b";
    let other = Regex::new(other).unwrap();
    for path in pages() {
        let text = Page::read(&path).text;
        let found: Vec<_> = other.find_iter(&text).map(|found| found.as_str()).collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}

/// "Of a model the head is kept", "Who has the key can sign": a sentence begins with its subject. One that counts
/// ("Of 200 kills, 141 struck a process") may say first what it counts in.
#[test]
fn sentences_begin_with_their_subject() {
    let begins = Regex::new(r"(?m)(?:^|[.:;|] |^ *- |^\d+\. )(Of|Who) (\S+) (\S+)").unwrap();
    let counts = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
    for path in pages() {
        let text = Page::read(&path).text;
        let found: Vec<&str> = begins
            .captures_iter(&text)
            .filter(|found| &found[1] == "Who" || !(counts(&found[2]) || counts(&found[3])))
            .map(|found| found.get(0).unwrap().as_str())
            .collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}

/// The help of a command, or of the whole program.
fn help(command: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_disinherit"));
    let output = program.args(command).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The help of a command with that of its sub-commands.
fn whole_help(command: &str) -> String {
    let own = help(&[command]);
    let below = commands(&own);
    let below = below.iter().filter(|name| *name != "help");
    let below: Vec<String> = below.map(|name| help(&[command, name])).collect();
    [own, below.concat()].concat()
}

/// The commands that a help lists.
fn commands(help: &str) -> BTreeSet<String> {
    let listed = help.split("Commands:").nth(1).unwrap_or_default();
    let listed = listed.split("Options:").next().unwrap_or_default();
    let name = Regex::new(r"(?m)^  ([a-z]+)  ").unwrap();
    let found = name.captures_iter(listed).map(|found| found[1].to_owned());
    found.collect()
}

/// The calls of the program in a line of code: the command, or nothing, and its arguments.
fn calls(line: &str) -> Vec<(String, String)> {
    let call = Regex::new(r"(?:^|\$ |&& )disinherit((?: [^&]*)?)").unwrap();
    let line = line.split(" #").next().unwrap();
    let found = call.captures_iter(line).map(|found| {
        let arguments = found[1].trim().to_owned();
        let first = arguments.split_whitespace().next().unwrap_or_default();
        let is_name = first.chars().all(|c| c.is_ascii_lowercase());
        (
            if is_name {
                first.to_owned()
            } else {
                String::new()
            },
            arguments,
        )
    });
    found.collect()
}

/// The flags among some arguments that a help does not list.
fn unknown_flags(arguments: &str, help: &str) -> Vec<String> {
    let flag = Regex::new(r"(?:^|[\s\[])(--[a-z-]+)").unwrap();
    let flags = flag
        .captures_iter(arguments)
        .map(|found| found[1].to_owned());
    flags
        .filter(|flag| {
            let listed = Regex::new(&format!("{flag}(?:[^a-z-]|$)")).unwrap();
            !listed.is_match(help)
        })
        .collect()
}

#[test]
fn every_command_and_flag_that_a_page_names_exists() {
    let known = commands(&help(&[]));
    assert!(known.contains("unlearn") && known.len() > 20, "{known:?}");
    let mut helps = BTreeMap::from([(String::new(), help(&[]))]);
    helps.extend(known.iter().map(|name| (name.clone(), whole_help(name))));
    let mut named = BTreeSet::new();
    let mut wrong = Vec::new();
    for path in pages() {
        // Versions before had other flags.
        if path.ends_with("CHANGELOG.md") {
            continue;
        }
        let code = Page::read(&path).code;
        for (command, arguments) in code.iter().flat_map(|line| calls(line)) {
            let unknown = match helps.get(&command) {
                Some(help) => unknown_flags(&arguments, help),
                None => vec!["(no such command)".to_owned()],
            };
            let told = unknown.iter();
            wrong.extend(told.map(|what| format!("{}: {command} {what}", path.display())));
            named.insert(command);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unnamed: Vec<_> = known
        .difference(&named)
        .filter(|name| *name != "help")
        .collect();
    assert!(unnamed.is_empty(), "no page shows {unnamed:?}");
}
