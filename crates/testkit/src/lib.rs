//! Servers that tests start for themselves, each with an empty store of its own that goes when it
//! goes: PostgreSQL (from the machine's packages) and an S3-compatible server (in this process); and a slow or
//! failing network in front of them.

mod postgres;
mod proxy;
mod s3;

pub use postgres::Postgres;
pub use proxy::Proxy;
pub use s3::S3;

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// Says something on the error output, past the capture of the test harness.
pub fn note(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// Says that something was not tested.
pub fn skipped(what: &str, why: &str) {
    note(&format!("SKIPPED: {what}: {why}"));
}

/// The library of the Python package `onnxruntime`, of the Python that `DISINHERIT_PYTHON` names or of the machine's own;
/// says that nothing is tested where there is none.
pub fn onnx_runtime() -> Option<PathBuf> {
    let python = std::env::var("DISINHERIT_PYTHON").unwrap_or_else(|_| "python3".into());
    let find = "import onnxruntime, pathlib
print(*(pathlib.Path(onnxruntime.__file__).parent / 'capi').glob('libonnxruntime.so*'))";
    let found = Command::new(python).args(["-c", find]).output().ok();
    let found = found.filter(|found| found.status.success());
    let path = found.and_then(|found| String::from_utf8(found.stdout).ok());
    let path = path.map(|path| PathBuf::from(path.trim()));
    let path = path.filter(|path| path.is_file());
    if path.is_none() {
        skipped(
            "ONNX Runtime",
            "the Python package `onnxruntime` is not installed",
        );
    }
    path
}
