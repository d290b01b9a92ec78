//! Signatures over exported models, as OpenSSF Model Signing 1.0 has them: a Sigstore bundle with a DSSE envelope
//! around an in-toto statement that lists the files with their SHA-256 digests. `model_signing verify key` checks
//! them.
//!
//! Specification: <https://github.com/sigstore/model-transparency>, version 1.1.1 of its library.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use disinherit_formats::FormatError;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::document::{hex, sha256};
use super::envelope::Envelope;
use super::key::{KeyKind, SecretKey};
use super::statement::STATEMENT;
use crate::error::EngineError;

const PREDICATE: &str = "https://model_signing/signature/v1.0";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What other tools leave out of a folder by default, and so must be left out here.
const IGNORED: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// The name of a signature in a model's folder.
const NAME: &str = "model.sig";

/// A file with its digest.
#[derive(Serialize)]
struct Resource {
    algorithm: &'static str,
    digest: String,
    name: String,
}

/// Signs the files of a model, and writes the signature: into its folder as `model.sig`, or beside its
/// file with `.sig` at the end. A signature from before is replaced. Returns where it is.
///
/// # Errors
/// [`EngineError::Key`] for a key of another kind than [`KeyKind::P256`], [`EngineError::Format`] when a file cannot
/// be read, is a symbolic link (which Model Signing refuses), or the signature cannot be written.
pub fn sign_model(path: &Path, key: &SecretKey) -> Result<PathBuf, EngineError> {
    if key.kind() != KeyKind::P256 {
        return Err(EngineError::Key(
            "signatures of models need a key over the curve P-256, and this one is Ed25519".into(),
        ));
    }
    let folder = path.is_dir();
    let place = match folder {
        true => path.join(NAME),
        false => PathBuf::from(format!("{}.sig", path.display())),
    };
    let (resources, root) = resources(path, folder)?;
    let name = path.file_name().unwrap_or("model".as_ref());
    let name = name.to_string_lossy();
    let mut serialization = json!({
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": false,
    });
    if folder {
        serialization["ignore_paths"] = json!([&IGNORED[..], &[NAME]].concat());
    }
    let statement = json!({
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": root}}],
        "predicateType": PREDICATE,
        "predicate": {"resources": resources, "serialization": serialization},
    });
    let bundle = json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {
            "publicKey": {"hint": sha256(key.public().to_pem()?.as_bytes())},
            "tlogEntries": [],
        },
        "dsseEnvelope": Envelope::sign(&statement, key)?,
    });
    disinherit_formats::write_file(&place, format!("{bundle:#}\n").as_bytes())?;
    Ok(place)
}

/// The files of a model with their digests, and the digest over all of these.
fn resources(path: &Path, folder: bool) -> Result<(Vec<Resource>, String), EngineError> {
    // A model of one file is the root of its own paths.
    let mut files = vec![Vec::new()];
    if folder {
        files.clear();
        files_below(path, &mut Vec::new(), &mut files)?;
        files.sort();
    }
    let mut root = Sha256::new();
    let mut resources = Vec::new();
    for parts in files {
        let digest = digest_of(&below(path, &parts))?;
        root.update(digest);
        let name = parts.join("/");
        resources.push(Resource {
            algorithm: "sha256",
            digest: hex(&digest),
            name: if name.is_empty() { ".".into() } else { name },
        });
    }
    Ok((resources, hex(&root.finalize())))
}

fn below(root: &Path, parts: &[String]) -> PathBuf {
    let joined = |path: PathBuf, part: &String| path.join(part);
    parts.iter().fold(root.to_owned(), joined)
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> EngineError {
    let path = path.to_owned();
    move |source| EngineError::Format(FormatError::io("read", &path)(source))
}

/// The files below a folder, each as the parts of its path; `parts` are those of the folder itself.
fn files_below(
    root: &Path,
    parts: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> Result<(), EngineError> {
    let folder = below(root, parts);
    for entry in fs::read_dir(&folder).map_err(io_error(&folder))? {
        let entry = entry.map_err(io_error(&folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if parts.is_empty() && (name == NAME || IGNORED.contains(&&name[..])) {
            continue;
        }
        parts.push(name);
        let kind = entry.file_type().map_err(io_error(&entry.path()))?;
        if kind.is_symlink() {
            return Err(EngineError::Format(FormatError::File {
                path: entry.path(),
                reason: "it is a symbolic link, and signatures of models cover files only; put the file itself there"
                    .into(),
            }));
        } else if kind.is_dir() {
            files_below(root, parts, found)?;
        } else {
            found.push(parts.clone());
        }
        parts.pop();
    }
    Ok(())
}

fn digest_of(path: &Path) -> Result<[u8; 32], EngineError> {
    let mut file = File::open(path).map_err(io_error(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(io_error(path))? {
            0 => return Ok(hasher.finalize().into()),
            length => hasher.update(&buffer[..length]),
        }
    }
}
