"""Erasure requests from Python: a whole life, and what is refused on the way."""

import json
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from disinherit import Data, DisinheritError, Registry, StepRefused, UnknownRequest, results, verify_certificate
from disinherit.certificates import new_key
from test_results import check as check_type

LABELS = ["ant", "bee", "cat"]
DAY = 24 * 3600 * 1000


def samples(seed):
    chance = np.random.default_rng(seed)
    labels = np.arange(240) % 3
    return (3 * np.eye(3, 8)[labels] + 0.3 * chance.normal(size=(240, 8))).astype(np.float32), labels


def checked_by_library(bundle):
    """The Python that the bundle's README shows, as it stands, with the certificate as it is and altered."""
    pytest.importorskip("securesystemslib")
    readme = (bundle / "README.md").read_text()
    program = readme.split("```python\n")[1].split("```")[0]
    run = [sys.executable, "-c", program]
    subprocess.run(run, cwd=bundle, check=True)
    certificate = bundle / "certificate.json"
    document = json.loads(certificate.read_text())
    document["payload"] = document["payload"].replace("A", "B", 1)
    certificate.write_text(json.dumps(document))
    assert subprocess.run(run, cwd=bundle, capture_output=True).returncode != 0


def data():
    (features, labels), (other, more) = samples(1), samples(2)
    heldout = np.arange(480) >= 240
    return Data.from_features(np.concatenate([features, other]), np.concatenate([labels, more]), LABELS, heldout=heldout, name="insects")


def family(place, **options):
    """A base network and a descendant, whose heads answer by the first three features."""
    registry = Registry.create(place, **options)
    weight = np.zeros((3, 8), np.float32)
    weight[:, :3] = 4 * np.eye(3)
    for name, parents in [("base", ()), ("child", "base")]:
        head = {"head.weight": weight + (0.1 if name == "child" else 0), "head.bias": np.zeros(3, np.float32)}
        registry.add(name, head, labels=LABELS, head="head", parents=parents, trained_on="insects", provider="farm")
    return registry


def test_a_request_from_its_arrival_to_its_end(tmp_path):
    registry, seen = family(tmp_path / "registry", actor="ann"), data()
    requests = registry.requests
    received = datetime(2026, 11, 20, 9, tzinfo=timezone.utc)
    filed = requests.new(classes="cat", requester="subject-8f3a", basis="GDPR Art. 17(1)(b)", received=received)
    assert (filed.id, filed.state, filed.asked.classes, filed.filed.by) == (1, "received", ["cat"], "ann")
    assert filed.received == int(received.timestamp() * 1000)
    assert filed.deadline == int(datetime(2026, 12, 20, 9, tzinfo=timezone.utc).timestamp() * 1000)
    with pytest.raises(StepRefused, match=r"must be planned.*Requests\.plan\(1\)"):
        requests.approve(1)
    commented = requests.comment(1, "identity checked")
    assert commented.state == "received" and requests.scope(1) is None
    preview = requests.preview(classes="cat")

    planned = requests.plan(1)
    scope = requests.scope(1)
    assert planned.state == "planned" and (planned.plan.initial, planned.plan.method) == (2, "fiun")
    check_type(scope, results.ErasureScope, "scope")
    assert scope == preview and {model.model for model in scope.models} == {"base@1", "child@1"}
    assert scope.models[0].why == "trained" and scope.models[0].on.startswith("insects")
    assert {left.what for left in scope.unreached} == {"copies", "backups"}

    requests.four_eyes = True
    assert requests.four_eyes
    with pytest.raises(StepRefused, match=r"`ann` filed it.*another `actor=`"):
        requests.approve(1)
    approved = Registry(tmp_path / "registry", actor="bob").requests.approve(1)
    assert approved.state == "approved" and approved.approved.by == "bob"

    done = requests.run(1, seen, progress=False)
    assert {model.after for model in done.models} == {"base@2", "child@2"}
    running = requests.show(1)
    assert running.state == "running" and running.published == [done.operation]
    verdicts = requests.verify(1, seen, progress=False)
    verified = requests.show(1)
    assert verified.state == "verified" and verified.verdict.passed and verified.verdict.judged == len(verdicts) == 2
    assert requests.verdicts(1) == verdicts and verified.verdict.judgement == "outputs"
    assert requests.certificate(1) is None

    new_key(tmp_path / "proof.pem")
    certificate = requests.certify(1, tmp_path / "proof.pem", tmp_path / "proof.json")
    with pytest.raises(FileExistsError):
        requests.certify(1, tmp_path / "proof.pem", tmp_path / "proof.json")
    assert certificate.request == done.request and certificate.verdicts == verdicts
    kept = requests.certificate(1)
    assert kept == (tmp_path / "proof.json").read_bytes()
    check = verify_certificate(kept, tmp_path / "proof.pem.pub", registry=registry)
    assert check.problems == [] and {model.after for model in check.certificate.models} == {"base@2", "child@2"}

    names = requests.bundle(1, tmp_path / "taken")
    assert {"README.md", "SHA256SUMS", "certificate.json", "report.html", "request.json", "log/B3SUMS"} <= set(names)
    with pytest.raises(FileExistsError, match="taken"):
        requests.bundle(1, tmp_path / "taken")
    with pytest.raises(UnknownRequest):
        requests.bundle(7, tmp_path / "none.zip")
    assert requests.bundle(1, tmp_path / "taken.zip", whole_chain=True) == names
    with zipfile.ZipFile(tmp_path / "taken.zip") as archive:
        assert archive.testzip() is None
        assert archive.read("request-1/certificate.json") == kept

    would = requests.purge(1, dry_run=True)
    assert {model for model, _ in would.models} == {"base@1", "child@1"} and requests.show(1).state == "certified"
    gone = requests.purge(1)
    assert gone.models == would.models and requests.show(1).state == "purged"
    assert {model.id: model.state for model in registry.models()}["base@1"] == "purged"
    closed = requests.close(1)
    check_type(closed, results.ErasureRequest, "closed")
    assert closed.state == "closed" and closed.last.by == "ann"
    commands = [entry.command for entry in requests.history(1)]
    assert commands[0] == "request new" and commands[-1] == "request close" and "unlearn" in commands
    assert registry.check().is_sound
    with pytest.raises(StepRefused, match=r"Requests\.show\(1\)"):
        requests.run(1, seen)
    checked_by_library(tmp_path / "taken")


def test_lists_deadlines_and_other_ends(tmp_path):
    registry = family(tmp_path / "registry")
    requests, now = registry.requests, datetime.now(timezone.utc)
    late = requests.new(source="farm", received=now - timedelta(days=60), deadline=timedelta(days=30))
    soon = requests.new(samples=["insects/000001", "insects/000002"], deadline=now + timedelta(days=3))
    usual = requests.new(classes=["ant", "bee"], initial="base")
    assert late.deadline - late.received == 30 * DAY and soon.asked.samples == 2
    assert usual.initial == ["base@1"] and usual.deadline - usual.received >= 28 * DAY
    assert [each.id for each in requests.list()] == [1, 2, 3]
    assert [each.id for each in requests.list(overdue=True)] == [1]
    assert [each.id for each in requests.list(due_within=timedelta(days=7))] == [1, 2]
    assert [each.id for each in requests.list(newest=True, limit=2)] == [3, 2]
    assert [each.id for each in requests.list(newest=True, after=2)] == [1]

    extended = requests.extend(1, reason="complex", deadline=timedelta(days=45))
    assert extended.deadline - late.deadline == 45 * DAY and extended.extended == "complex"
    # Three months after its arrival, by the calendar.
    assert requests.extend(3, reason="waiting").deadline - usual.received >= 89 * DAY
    rejected = requests.reject(2, reason="a duplicate")
    assert (rejected.state, rejected.reason) == ("rejected", "a duplicate")
    assert [each.id for each in requests.list(states="rejected")] == [2]
    assert {each.id for each in requests.list(states=[])} == {1, 2, 3}
    # A plan that no longer holds.
    requests.plan(3)
    requests.approve(3)
    registry.add("late", {"head.weight": np.ones((3, 8), np.float32)}, labels=LABELS, head="head", parents="base", trained_on="insects")
    with pytest.raises(StepRefused, match=r"`late@1`.*Requests\.plan\(3\)"):
        requests.run(3, data())
    for what, words in [
        (lambda: requests.show(9), "request"),
        (lambda: requests.new(), "one of `classes="),
        (lambda: requests.new(classes="cat", received=datetime(2026, 1, 1)), "`received=` has no time zone"),
        (lambda: requests.new(classes="cat", deadline=timedelta(days=-1)), "deadline"),
        (lambda: requests.list(states="lost"), "received, planned"),
        (lambda: requests.list(limit=0), "`limit=`"),
        (lambda: requests.verify(3, data(), require="all"), "`require`"),
        (lambda: requests.certify(3, b"", in_toto=True), "`in_toto=`"),
    ]:
        with pytest.raises(DisinheritError, match=words):
            what()
    with pytest.raises(UnknownRequest):
        requests.history(9)


def test_a_run_that_cannot_be_judged(tmp_path):
    requests = family(tmp_path / "registry").requests
    requests.new(classes="cat")
    requests.plan(1, target_loss=0.02, accept_loss=0.5)
    assert requests.show(1).plan.loss_bound.accepted == 0.5
    requests.approve(1)
    requests.run(1, data(), progress=False)
    left = requests.leave_unjudged(1, reason="the data is deleted already")
    assert left.state == "verified" and left.verdict.not_judged == "the data is deleted already"
    assert requests.verdicts(1) == []
