//! Refusals and sign-ins on record: in the log of the server, in its counters, and in a file where one is named.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use axum::http::Method;
use disinherit::model::now;
use jiff::Timestamp;
use serde::Serialize;

use crate::identity::Caller;
use crate::quota::Address;

/// The most of a path that is kept, in characters.
const LONGEST: usize = 300;

/// A call, as it is put on record.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path as it was asked for, without its query.
    pub(crate) path: String,
    pub(crate) address: Address,
}

/// A line of the file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    time: String,
    event: &'a str,
    status: u16,
    method: &'a str,
    path: String,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<i64>,
    detail: &'a str,
}

/// The file that refusals and sign-ins are appended to, if there is one.
#[derive(Debug)]
pub(crate) struct Audit {
    file: Option<PathBuf>,
}

impl Audit {
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// Whether the file can be written.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.file
            .as_deref()
            .map_or(Ok(()), |file| append(file, b""))
    }

    /// A call that was refused.
    pub(crate) fn refused(&self, call: &Call, caller: Option<&Caller>, status: u16, why: &str) {
        let name = caller.map_or("-", |caller| caller.name.as_str());
        let token = caller.and_then(|caller| caller.token).unwrap_or_default();
        let (method, path, address) = (&call.method, &call.path, call.address);
        tracing::warn!(%method, path, %address, token, name, status, why, "denied");
        self.write("denied", call, caller, (status, why));
    }

    /// Somebody who signed in on the page.
    pub(crate) fn signed_in(&self, call: &Call, caller: &Caller) {
        tracing::info!(name = caller.name, address = %call.address, "signed in");
        self.write("signed-in", call, Some(caller), (303, "on the page"));
    }

    fn write(&self, event: &str, call: &Call, caller: Option<&Caller>, said: (u16, &str)) {
        let Some(file) = &self.file else { return };
        let time = i64::try_from(now()).unwrap_or_default();
        let line = Line {
            time: Timestamp::from_millisecond(time)
                .map_or_else(|_| time.to_string(), |time| time.to_string()),
            event,
            status: said.0,
            method: call.method.as_str(),
            path: call.path.chars().take(LONGEST).collect(),
            address: call.address.to_string(),
            actor: caller.map(|caller| caller.name.as_str()),
            token: caller.and_then(|caller| caller.token),
            detail: said.1,
        };
        let written = serde_json::to_vec(&line).map_err(io::Error::from);
        let written = written.and_then(|mut text| {
            text.push(b'\n');
            append(file, &text)
        });
        if let Err(error) = written {
            tracing::error!(%error, file = %file.display(), "a line of the audit log is lost");
        }
    }
}

/// Appends a line in one write. The file is opened each time, so that the system may rotate it at any time.
fn append(file: &Path, line: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(file)?.write_all(line)
}
