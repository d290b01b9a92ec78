//! The page that says what a bundle holds, and how it is checked.

use disinherit::certificate::{PublicKey, Statement};

use super::chain::{self, Excerpt};
use super::checks;
use super::files::{self, Files};
use crate::evidence::Evidence;
use crate::when::time;

/// What each file is.
const ABOUT: [(&str, &str); 8] = [
    ("report.html", "the report, for reading and printing"),
    (
        "request.json",
        "the request, and its steps: who took which, when, and the state after it",
    ),
    (
        "scope.json",
        "the models that it touches with the reason for each, and what it cannot reach, as planned",
    ),
    ("verdicts.json", "the verdict on each new version"),
    (
        "certificate.json",
        "the certificate: an in-toto statement in a DSSE envelope",
    ),
    ("statement.json", "that statement, as it was signed"),
    (
        "ml-bom.cdx.json",
        "the versions that were made and retired, as a CycloneDX bill of materials",
    ),
    (
        chain::SUMS,
        "hashes (BLAKE3) of the entries of the log, which are beside it",
    ),
];

/// What the page is made from.
pub(super) struct Readme<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) excerpt: &'a Excerpt<'a>,
    pub(super) key: Option<&'a PublicKey>,
    /// What the key signed.
    pub(super) statement: Option<&'a Statement>,
    /// All files but the page itself and the digests.
    pub(super) files: &'a Files,
}

fn shell(commands: &str) -> String {
    format!("```sh\n{commands}\n```\n\n")
}

impl Readme<'_> {
    pub(super) fn text(&self) -> String {
        [
            self.head(),
            self.step_files(),
            self.step_certificate(),
            self.step_log(),
            self.limits(),
        ]
        .concat()
    }

    fn certified(&self) -> bool {
        self.files.has("certificate.json")
    }

    /// Whether the last entry that the statement names is at hand.
    fn names_last(&self) -> bool {
        let log = self.statement.map(|statement| &statement.predicate.log);
        log.is_some_and(|log| self.excerpt.has(log.last))
    }

    fn head(&self) -> String {
        let erasure = &self.evidence.record.erasure;
        let mut text = format!(
            "# Erasure request {}: what was asked, done and proven\n\n\
             To forget {}; {} on {}. ",
            erasure.id,
            plain(&erasure.asked.to_string()),
            erasure.state,
            time(erasure.last.time)
        );
        if let Some(last) = self.evidence.last() {
            text.push_str(&format!(
                "Made from the records of a disinherit registry as of entry {} of its log. ",
                last.id
            ));
        }
        text.push_str("The same records give the same bytes.\n\n| file | holds |\n| --- | --- |\n");
        for (name, about) in ABOUT.iter().filter(|(name, _)| self.files.has(name)) {
            text.push_str(&format!("| `{name}` | {about} |\n"));
        }
        if let Some(key) = self.key {
            text.push_str(&format!(
                "| `keys/{}.pem` | the public key of the certificate |\n",
                key.id()
            ));
        }
        text.push_str(&format!(
            "| `{}` | SHA-256 digests of all other files |\n\n",
            files::SUMS
        ));
        text.push_str(
            "The commands below are for a POSIX shell in this folder. They need `sha256sum`, `jq` (1.6 or later), `base64`, \
             `openssl` (3.0 or later) and `b3sum` (1.2 or later, for BLAKE3). Each of them fails where something is wrong. Nothing \
             is sent or fetched.\n\n",
        );
        text
    }

    fn step_files(&self) -> String {
        format!(
            "## 1. No file was changed, is missing, or was added\n\n{}\
             Somebody who can change files can write these sums anew. The steps below do not rest on them.\n\n",
            shell(checks::FILES)
        )
    }

    fn step_certificate(&self) -> String {
        let mut text = String::from("## 2. The certificate is signed, and says this\n\n");
        if !self.certified() {
            let state = self.evidence.record.erasure.state;
            text.push_str(&format!(
                "This request has no certificate: it is {state}. Nothing in this folder is signed.\n\n"
            ));
            return text;
        }
        let Some(key) = self.key else {
            let id = self.evidence.key.as_ref().map(|key| key.id.as_str());
            let id = id.unwrap_or("that it names");
            text.push_str(&format!(
                "The public key {id} is not on record. Ask the issuer for it; the signature is checked with it.\n\n"
            ));
            return text;
        };
        text.push_str(&shell(&checks::signature(key)));
        text.push_str(
            "The key proves who signed only if it is the issuer's: compare it with one that you got from the issuer \
             in another way. Its id, by which the certificate and the log name it, follows from its bytes:\n\n",
        );
        text.push_str(&shell(&checks::key_id(key)));
        text.push_str("The same with a library that reads DSSE (`pip install securesystemslib cryptography`):\n\n");
        text.push_str(&format!(
            "```python\n{}\n```\n\n",
            checks::with_library(key)
        ));
        text
    }

    fn step_log(&self) -> String {
        let record = &self.evidence.record;
        let mut text = format!(
            "## 3. The log has it\n\nEach entry of the log is a JSON array: a tag, the hash of the entry before, number, time (in \
             milliseconds since 1970-01-01 UTC), actor, command, detail, changes. Its hash is the BLAKE3 digest of its text.\n\n{}\
             Each entry names the hash of the one before it:\n\n{}",
            shell(checks::ENTRIES),
            shell(checks::LINKS)
        );
        let gaps = self.excerpt.gaps();
        if !gaps.is_empty() {
            let gaps: Vec<String> = gaps.iter().map(gap).collect();
            text.push_str(&format!(
                "Entries that concern other matters are left out, since they may name other people: {}. Across them the \
                 chain is not recomputed here. A bundle that was made with the whole chain has them.\n\n",
                gaps.join(", ")
            ));
        }
        if self.certified() {
            text.push_str("The signed statement names the hash of the entry that published the new versions, and of the last entry when \
                           it was signed:\n\n");
            text.push_str(&shell(match self.names_last() {
                true => checks::CERTIFIED_TO_LAST,
                false => checks::CERTIFIED,
            }));
        }
        let named = [
            ("plan", "scope", "scope.json"),
            ("verify", "verdicts", "verdicts.json"),
            ("certify", "certificate", "certificate.json"),
        ];
        let named: Vec<_> = named
            .into_iter()
            .filter(|(.., file)| self.files.has(file))
            .collect();
        if !named.is_empty() {
            text.push_str("The documents are those that the log names by their digests:\n\n");
            text.push_str(&shell(&checks::documents(record.erasure.id, &named)));
        }
        text.push_str("Who did what, when:\n\n");
        text.push_str(&shell(checks::STEPS));
        text
    }

    fn limits(&self) -> String {
        let mut text = String::from("## What this shows, and what it does not\n\n");
        if self.certified() {
            text.push_str(
                "- The signature: the holder of the key states what `statement.json` says. What was measured, and what each word \
                 of the judgement means, the report says beside it, with its limits.\n\
                 - The entries that the statement names cannot be changed, nor those before them, without another hash in a signed \
                 statement.\n",
            );
        }
        if let Some(last) = self.evidence.last() {
            text.push_str(&format!(
                "- Later entries rest on the hashes alone. When this folder was made, the last entry of the log was {} with \
                 the hash `{}`. Keep it: a log that is rewritten later has another.\n",
                last.id, last.hash
            ));
        }
        if self.evidence.altered.is_empty() {
            text.push_str("- The chain of the whole log was checked and is whole.\n");
        } else {
            let count = self.evidence.altered.len();
            text.push_str(&format!(
                "- THE LOG HAS BEEN ALTERED: {count} findings, which the report lists.\n"
            ));
        }
        text.push_str(
            "- `report.html`, `request.json` and `ml-bom.cdx.json` are made from the records for reading. They prove nothing by \
             themselves.\n\
             - Copies that were exported, backups, and earlier versions that the storage keeps are not reached by a request; the \
             report names them.\n",
        );
        text
    }
}

/// Words of others without what would mean something in Markdown or to a terminal.
fn plain(text: &str) -> String {
    let keep = |c: char| match c {
        '`' => '\'',
        c if c.is_control() || "<>[]|*_#\\".contains(c) => ' ',
        c => c,
    };
    text.chars().map(keep).collect()
}

fn gap((first, last): &(i64, i64)) -> String {
    match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    }
}
