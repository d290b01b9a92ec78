//! Runs the package's tests in Python, with the library that was just built. They need numpy and
//! pytest, and some of them torch; what the interpreter (`python3`, or `DISINHERIT_PYTHON`) lacks is
//! skipped with a note.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

use disinherit_testkit::{Postgres, S3, skipped};

/// Where this test was built.
fn deps() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

/// The command line, where it was built too: by the tests of the workspace.
fn program() -> Option<PathBuf> {
    let name = format!("disinherit{}", std::env::consts::EXE_SUFFIX);
    Some(deps().parent()?.join(name)).filter(|path| path.exists())
}

/// The library beside this test.
fn library() -> PathBuf {
    let deps = deps();
    let name = format!(
        "{}_disinherit{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    [deps.join(&name), deps.parent().unwrap().join(&name)]
        .into_iter()
        .find(|path| path.exists())
        .unwrap()
}

/// Copies the package's files; what an earlier build or run left beside them stays.
fn copy_sources(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        let known = path.extension().and_then(|end| end.to_str());
        if path.is_dir() && name != "__pycache__" {
            copy_sources(&path, &to.join(name));
        } else if matches!(known, Some("py" | "pyi" | "typed")) {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// A database and storage, for registries that several machines share.
fn servers() -> Option<(Postgres, S3)> {
    let database = Postgres::start();
    let skipped = |why: &String| skipped("the Python package on shared storage", why);
    Some((database.inspect_err(skipped).ok()?, S3::start().unwrap()))
}

/// Where tests find them.
fn environment((database, storage): &(Postgres, S3)) -> Vec<(&'static str, String)> {
    let mut list = vec![
        ("DISINHERIT_TEST_CATALOG", database.address()),
        ("DISINHERIT_TEST_STORAGE", storage.address()),
    ];
    list.extend(storage.environment());
    list
}

#[test]
fn the_package_keeps_its_promises_in_python() {
    let python = std::env::var("DISINHERIT_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = |what: &str| {
        let tried = Command::new(&python)
            .args(["-c", &format!("import {what}")])
            .output();
        tried.is_ok_and(|output| output.status.success())
    };
    if !has("numpy, pytest") {
        return skipped(
            "the Python package",
            &format!("`{python}` has not both numpy and pytest"),
        );
    }
    if !has("torch") {
        skipped(
            "the Python package with PyTorch",
            &format!("`{python}` has no torch"),
        );
    }
    // Some are heavy: where `make-venv.sh` cannot install them they are skipped.
    for (what, package) in [
        ("MLflow", "mlflow"),
        ("Flower", "flwr"),
        ("Ray", "ray"),
        ("Flax and Keras", "jax, flax"),
        ("the Hugging Face Hub", "huggingface_hub"),
        ("NetworkX", "networkx"),
        ("Graphviz's language", "pydot"),
        ("DSSE and in-toto", "securesystemslib, in_toto_attestation"),
        ("CycloneDX", "cyclonedx"),
        ("OpenLineage", "openlineage.client"),
        ("Model Signing", "model_signing"),
    ] {
        if !has(package) {
            skipped(
                &format!("the Python package with {what}"),
                &format!("`{python}` has no {package}"),
            );
        }
    }
    if std::env::var_os("DISINHERIT_LONG").is_none() {
        skipped(
            "what takes long in the Python package",
            "DISINHERIT_LONG=1 runs it",
        );
    }
    let program = program();
    if program.is_none() {
        skipped(
            "the service with Ray",
            "the command line is not built: `cargo build -p disinherit-cli`",
        );
    }
    let servers = if has("ray") { servers() } else { None };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("disinherit");
    copy_sources(&root.join("src/disinherit"), &package);
    std::fs::copy(library(), package.join("_disinherit.abi3.so")).unwrap();
    // Whole files in turn, on as many processes as there are cores, in the order that `tests/conftest.py` gives.
    let side_by_side: &[&str] = match has("xdist") {
        true => &["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"],
        false => &[],
    };
    let done = Command::new(&python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .args(side_by_side)
        .arg(root.join("tests"))
        .env("PYTHONPATH", folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(servers.iter().flat_map(environment))
        .envs(program.map(|program| ("DISINHERIT_PROGRAM", program)))
        // Other tests run beside these.
        .env("OMP_NUM_THREADS", "1")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}
