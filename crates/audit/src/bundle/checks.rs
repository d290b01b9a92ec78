//! The commands by which a bundle is checked. They are run as they stand by the tests.

use disinherit::certificate::{KeyKind, PublicKey};
use disinherit::registry::ErasureId;

/// No file was changed, none is missing, none was added.
pub(super) const FILES: &str = r#"sha256sum --check --strict --quiet SHA256SUMS
test "$(find . -type f ! -name SHA256SUMS | wc -l)" -eq "$(wc -l < SHA256SUMS)""#;

/// All entries of the log are what their hashes are over.
pub(super) const ENTRIES: &str = "b3sum --check log/B3SUMS";

/// Each entry has the hash of the one before, where that is there.
pub(super) const LINKS: &str = r#"find log -name '*.json' -exec cat {} + | jq -e -n --rawfile sums log/B3SUMS '
  ([$sums | scan("([0-9a-f]{64})  log/([0-9]+)[.]json") | {key: .[1], value: .[0]}] | from_entries) as $hash
  | [inputs | $hash[.[2] - 1 | tostring] as $before | select($before != null and $before != .[1])] == []'"#;

/// The statement names the hash of the entry that published the models.
pub(super) const CERTIFIED: &str =
    r#"jq -r '.predicate.log | "\(.hash)  log/\(.operation).json"' statement.json | b3sum --check"#;

/// That, and the hash of the last entry when it was signed.
pub(super) const CERTIFIED_TO_LAST: &str = r#"jq -r '.predicate.log | "\(.hash)  log/\(.operation).json", "\(.last_hash)  log/\(.last).json"' statement.json |
  b3sum --check"#;

/// Who did what, by the log.
pub(super) const STEPS: &str = r#"find log -name '*.json' -exec cat {} + |
  jq -s 'sort_by(.[2])[] | "\(.[2])  \(.[3] / 1000 | floor | todate)  \(.[4])  \(.[5])"'"#;

/// The signature of the certificate, with the key that is in the bundle.
pub(super) fn signature(key: &PublicKey) -> String {
    let file = format!("keys/{}.pem", key.id());
    let openssl = match key.kind() {
        KeyKind::Ed25519 => format!(
            r#"openssl pkeyutl -verify -pubin -inkey {file} -rawin -in "$work/signed" -sigfile "$work/signature""#
        ),
        KeyKind::P256 => format!(
            r#"openssl dgst -sha256 -verify {file} -signature "$work/signature" "$work/signed""#
        ),
    };
    format!(
        r#"work=$(mktemp -d)
jq -e '.payloadType == "application/vnd.in-toto+json"' certificate.json
jq -r .payload certificate.json | base64 -d > "$work/payload"
cmp "$work/payload" statement.json
jq -r '.signatures[0].sig' certificate.json | base64 -d > "$work/signature"
{{ printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < "$work/payload")"; cat "$work/payload"; }} > "$work/signed"
{openssl}
rm -r "$work""#
    )
}

/// The id of the key, from its bytes.
pub(super) fn key_id(key: &PublicKey) -> String {
    let id = key.id();
    // The point of the curve is the end of the document: 32 bytes, or 65 that are not compressed.
    let length = match key.kind() {
        KeyKind::Ed25519 => 32,
        KeyKind::P256 => 65,
    };
    format!(
        r#"test "$(openssl pkey -pubin -in keys/{id}.pem -outform DER | tail -c {length} | b3sum | cut -c 1-16)" = {id}"#
    )
}

/// The same with a library that reads DSSE.
pub(super) fn with_library(key: &PublicKey) -> String {
    let id = key.id();
    format!(
        r#"import json
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

with open("certificate.json") as file:
    envelope = Envelope.from_dict(json.load(file))
with open("keys/{id}.pem", "rb") as file:
    key = load_pem_public_key(file.read())
envelope.verify([SSlibKey.from_crypto(key, keyid="{id}")], threshold=1)"#
    )
}

/// The documents are those that the log names: `named` are commands, fields and files.
pub(super) fn documents(request: ErasureId, named: &[(&str, &str, &str)]) -> String {
    let line = |(command, field, file): &(&str, &str, &str)| {
        format!(
            r#"(map(select(.command == "request {command}" and .detail.{field} != null)) | last | "\(.detail.{field})  {file}")"#
        )
    };
    let lines: Vec<String> = named.iter().map(line).collect();
    format!(
        r#"find log -name '*.json' -exec cat {{}} + | jq -r -s '
  sort_by(.[2]) | map({{command: .[5], detail: (.[6] | fromjson)}}) | map(select(.detail.request == {request}))
  | {}' | b3sum --check"#,
        lines.join(",\n    ")
    )
}
