//! A program that does the jobs of a server.

use std::ffi::OsString;
use std::path::PathBuf;

/// A program that takes jobs from the catalog for a server.
///
/// It prints an object of JSON in each line: `{"event": "ready", "worker": NAME}` when it begins to take jobs by
/// that name, `{"event": "taken", "id": 4, "request": 1}`, `{"event": "ended", "id": 4, "request": 1, "state":
/// "done"}`, and `{"event": "failed", "said": WHY}` when it cannot begin. The end of its standard input tells it to
/// stop: to end its job, or leave it to the next worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerProgram {
    /// What is started.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What it finds in its environment beside that of the server.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether it has data to judge models on.
    pub has_data: bool,
}
