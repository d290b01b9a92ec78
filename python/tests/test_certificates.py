"""Certificates from Python, and what libraries of others say of them."""

import base64
import hashlib
import json
import os

import pytest

from disinherit import InvalidCertificate, verify_certificate
from disinherit.certificates import new_key
from test_registry import data, registry  # noqa: F401

PAYLOAD = "application/vnd.in-toto+json"


@pytest.fixture()
def certified(registry, tmp_path):  # noqa: F811
    """A registry in which a class was forgotten, certified with a key of each kind."""
    registry.unlearn(classes="cat", initial="base", data=data(), progress=False)
    for kind in ("ed25519", "p256"):
        key = tmp_path / f"{kind}.pem"
        new_key(key, kind=kind)
        registry.certify(tmp_path / f"{kind}.json", key, data=data(), in_toto=True, progress=False)
    return registry


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_a_certificate_says_what_was_done(certified, tmp_path, kind):
    key = tmp_path / f"{kind}.pem"
    assert os.name == "nt" or key.stat().st_mode & 0o777 == 0o600
    check = verify_certificate(tmp_path / f"{kind}.json", f"{key}.pub")
    said = check.certificate
    assert check.is_sound and check.problems is None
    assert (said.asked.classes, said.method) == (["cat"], "fiun")
    assert [(model.before, model.after, model.role) for model in said.models] == [
        ("base@1", "base@2", "initial"),
        ("child@1", "child@2", "inherited"),
    ]
    for model in said.models:
        assert certified.show(model.after).model.digest == model.digest_after
        verdict = said.verdict(model.after)
        assert verdict.passed and verdict.judgement == "outputs" and verdict.scores.forget.heldout == 0.0
        assert model.changed > 0 and model.loss.samples > 0
    assert said.verdict("base@1") is None and said.retired == [] and said.loss_bound.target == 0.01
    assert certified.log()[said.log.operation - 1].hash == said.log.hash
    # The same from bytes, as JSON, and compared with the registry.
    contents = (tmp_path / f"{kind}.json").read_bytes(), (tmp_path / f"{kind}.pem.pub").read_bytes()
    assert verify_certificate(*contents) == check
    assert json.loads(json.dumps(check.to_dict()))["certificate"]["request"] == said.request
    assert verify_certificate(*contents, registry=certified).problems == []
    certified.undo(said.log.operation)
    problems = verify_certificate(*contents, registry=certified).problems
    assert any("undone" in problem for problem in problems), problems


def test_files_are_not_replaced_unasked(certified, tmp_path):
    key = tmp_path / "ed25519.pem"
    with pytest.raises(FileExistsError):
        new_key(key)
    with pytest.raises(FileExistsError, match="force=True"):
        certified.certify(tmp_path / "ed25519.json", key)
    again = certified.certify(tmp_path / "ed25519.json", key.read_bytes(), request=1 + 2, force=True)
    assert again.verdicts == [] and again.key == verify_certificate(tmp_path / "ed25519.json", f"{key}.pub").certificate.key


def test_what_is_not_as_it_was_signed_is_refused(certified, tmp_path):
    (tmp_path / "other").mkdir()
    new_key(tmp_path / "other" / "key.pem")
    file, key = tmp_path / "ed25519.json", tmp_path / "ed25519.pem.pub"
    envelope = json.loads(file.read_text())
    said = json.loads(base64.b64decode(envelope["payload"]))
    said["predicate"]["method"] = "retraining"
    altered = dict(envelope, payload=base64.b64encode(json.dumps(said).encode()).decode())
    for certificate, public, words in [
        (json.dumps(altered).encode(), key, "altered since it was signed"),
        (file, tmp_path / "other" / "key.pem.pub", "was signed with the key"),
        (file, tmp_path / "p256.pem.pub", "was signed with the key"),
        (file.read_bytes()[:200], key, "cannot be used"),
        (file, b"no key", "public key cannot be used"),
        (tmp_path / "ed25519.test-result.json", key, "missing field|another kind"),
    ]:
        with pytest.raises(InvalidCertificate, match=words):
            verify_certificate(certificate, public)
    with pytest.raises(InvalidCertificate, match="private key cannot be used"):
        certified.certify(tmp_path / "x.json", b"no key")


def stock(name):
    """The public key of one of the tests' keys, as securesystemslib reads it."""
    pytest.importorskip("cryptography")
    signer = pytest.importorskip("securesystemslib.signer")
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    public = load_pem_public_key(name.read_bytes())
    return lambda keyid: signer.SSlibKey.from_crypto(public, keyid=keyid)


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
@pytest.mark.parametrize("what", ["json", "test-result.json", "summary.json"])
def test_stock_libraries_verify_all_statements(certified, tmp_path, kind, what):
    dsse = pytest.importorskip("securesystemslib.dsse")
    exceptions = pytest.importorskip("securesystemslib.exceptions")
    attestation = pytest.importorskip("in_toto_attestation.v1.statement")
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2

    key = stock(tmp_path / f"{kind}.pem.pub")
    document = json.loads((tmp_path / f"{kind}.{what}").read_text())
    name = document["signatures"][0]["keyid"]
    envelope = dsse.Envelope.from_dict(document)
    assert envelope.payload_type == PAYLOAD
    assert list(envelope.verify([key(name)], 1)) == [name]
    parsed = json_format.Parse(envelope.payload, statement_pb2.Statement())
    statement = attestation.Statement.copy_from_pb(parsed)
    statement.validate()
    # The same subjects in all three, with a digest that others know.
    subjects = {subject.name: dict(subject.digest) for subject in parsed.subject}
    models = {model.id: model for model in certified.models()}
    assert set(subjects) == {"base@2", "child@2"}
    for name, digests in subjects.items():
        assert digests["blake3"] == models[name].digest
        object_ = tmp_path / ".disinherit" / "objects" / models[name].digest[:2] / models[name].digest[2:]
        assert digests["sha256"] == hashlib.sha256(object_.read_bytes()).hexdigest()
    # Tampered with, refused: another payload, another type, another key.
    said = json.loads(envelope.payload)
    said["subject"][0]["digest"]["sha256"] = "0" * 64
    others = [
        dsse.Envelope(json.dumps(said).encode(), PAYLOAD, envelope.signatures),
        dsse.Envelope(envelope.payload, "application/json", envelope.signatures),
    ]
    for other in others:
        with pytest.raises(exceptions.VerificationError):
            other.verify([key(name)], 1)
    another = stock(tmp_path / f"{'p256' if kind == 'ed25519' else 'ed25519'}.pem.pub")
    with pytest.raises(exceptions.VerificationError):
        envelope.verify([another(name)], 1)


def payload(file):
    return json.loads(base64.b64decode(json.loads(file.read_text())["payload"]))


def test_the_test_result_is_in_totos(certified, tmp_path):
    predicates = pytest.importorskip("in_toto_attestation.predicates.test_result.v0.test_result_pb2")
    from google.protobuf import json_format

    statement = payload(tmp_path / "ed25519.test-result.json")
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    # A field that the specification does not have would be an error.
    result = json_format.ParseDict(statement["predicate"], predicates.TestResult())
    assert result.result == "PASSED"
    assert list(result.passed_tests) == [
        f"{model}: {test}" for model in ("base@2", "child@2") for test in ("outputs", "retained accuracy")
    ]
    assert not result.warned_tests and not result.failed_tests
    (configuration,) = result.configuration
    assert configuration.digest["sha256"] == hashlib.sha256((tmp_path / "ed25519.json").read_bytes()).hexdigest()


def test_the_summary_says_what_holds_for_all(certified, tmp_path):
    statement = payload(tmp_path / "ed25519.summary.json")
    assert statement["predicateType"] == "https://in-toto.io/attestation/svr/v0.2"
    said = statement["predicate"]
    assert said["properties"] == ["DISINHERIT_FORGOTTEN_OUTPUTS", "DISINHERIT_RETAINED_ACCURACY"]
    assert said["verifier"]["id"] == "urn:disinherit:certify:1" and said["verifier"]["policies"] == []
    assert said["timeCreated"].endswith("Z")
    # Judged by nothing, it says nothing; and that is a warning, not a pass.
    certified.certify(tmp_path / "bare.json", tmp_path / "ed25519.pem", in_toto=True)
    assert payload(tmp_path / "bare.summary.json")["predicate"]["properties"] == ["DISINHERIT_RETAINED_ACCURACY"]
    bare = payload(tmp_path / "bare.test-result.json")["predicate"]
    assert bare["result"] == "WARNED" and bare["warnedTests"] == ["base@2: outputs", "child@2: outputs"]
    # Asked to have forgotten more than they have, they fail.
    failed = certified.certify(tmp_path / "strict.json", tmp_path / "ed25519.pem", data=data(), at_most=-1.0, in_toto=True, progress=False)
    assert {verdict.judgement for verdict in failed.verdicts} == {"recognised"}
    strict = payload(tmp_path / "strict.test-result.json")["predicate"]
    assert strict["result"] == "FAILED" and strict["failedTests"] == ["base@2: outputs", "child@2: outputs"]
