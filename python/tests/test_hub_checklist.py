"""Old weights on the Hugging Face Hub, with its own client against a small server that stands in for the Hub."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest

hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
pytest.importorskip("yaml", reason="pyyaml is not installed")

from disinherit import DisinheritError, Registry  # noqa: E402
from disinherit.hub import checklist, section, write_card  # noqa: E402
from test_requests import data, family  # noqa: E402

REPO = "hospital/clinic"


def oid(content):
    return hashlib.sha256(content).hexdigest()


OLD, NEW, OTHER = b"old weights", b"new weights", b"a tokenizer"


class Hub:
    """Revisions with their files, the storage, and the requests that were made."""

    def __init__(self):
        self.trees = {
            "main": {"model.safetensors": NEW, "tokenizer.model": OTHER},
            "refs/heads/main": {"model.safetensors": NEW, "tokenizer.model": OTHER},
            "refs/heads/before": {"model.safetensors": OLD},
            "refs/heads/docs": {},
            "refs/tags/v1": {"model.safetensors": OLD},
            "refs/tags/v2": {"model.safetensors": NEW},
            "refs/pr/4": {"model.safetensors": OLD},
            "refs/pr/5": {"model.safetensors": NEW},
        }
        self.storage = {oid(each): name for each, name in [(OLD, "model.safetensors"), (NEW, "model.safetensors"), (OTHER, "tokenizer.model")]}
        self.changes = []
        self.deletes = True

    def refs(self):
        def listed(start):
            names = [name for name in self.trees if name.startswith(start)]
            return [{"name": name[len(start) :], "ref": name, "targetCommit": "c" * 40} for name in names]

        return {"branches": listed("refs/heads/"), "tags": listed("refs/tags/"), "converts": [], "pullRequests": listed("refs/pr/")}

    def tree(self, revision):
        files = self.trees[revision].items()
        return [
            {"type": "file", "path": name, "size": len(value), "oid": "0" * 40, "lfs": {"oid": oid(value), "size": len(value), "pointerSize": 130}}
            for name, value in files
        ]

    def files(self):
        return [
            {"fileOid": key, "filename": name, "oid": key, "pushedAt": "2026-01-01T00:00:00.000Z", "ref": "main", "size": 11}
            for key, name in self.storage.items()
        ]

    def get(self, path):
        if path.startswith("refs"):
            return self.refs()
        if path.startswith("lfs-files"):
            return self.files()
        assert path.startswith("tree/"), path
        return self.tree(unquote(path[len("tree/") :].split("?")[0]))

    def change(self, method, path, body):
        self.changes.append((method, unquote(path), body))
        if path == "lfs-files/batch" and self.deletes:
            for each in body["deletions"]["sha"]:
                del self.storage[each]


@pytest.fixture
def server():
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, value):
            text = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def path_of(self):
            start = f"/api/models/{REPO}/"
            assert self.path.startswith(start), self.path
            return self.path[len(start) :]

        def do_GET(self):
            self.answer(state.get(self.path_of()))

        def do_POST(self):
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            state.change(self.command, self.path_of(), body)
            self.answer({})

        do_DELETE = do_POST

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield SimpleNamespace(state=state, address=f"http://127.0.0.1:{running.server_address[1]}")
    running.shutdown()


def cached(folder):
    """A cache as the client makes it, with one revision of this repository and one of another."""
    for repo, commit in [("models--hospital--clinic", "a" * 40), ("models--hospital--other", "b" * 40)]:
        (folder / repo / "blobs").mkdir(parents=True)
        (folder / repo / "blobs" / "x").write_bytes(OLD)
        (folder / repo / "refs").mkdir()
        (folder / repo / "refs" / "main").write_text(commit)
        snapshot = folder / repo / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").symlink_to(folder / repo / "blobs" / "x")
    return folder


def test_the_calls_are_listed_and_then_made_in_order(server, tmp_path):
    cache = cached(tmp_path / "cache")
    options = {"endpoint": server.address, "token": "x", "cache": cache}
    todo = checklist(REPO, **options)
    assert server.state.changes == [] and todo.stale == {oid(OLD): "model.safetensors"} and todo.bytes == 11
    calls = [step.call for step in todo.steps if step.call]
    assert calls == ["delete_tag", "delete_branch", "super_squash_history", "list_lfs_files", "permanently_delete_lfs_files", "delete_revisions"]
    text = str(todo)
    assert "delete_tag(repo_id='hospital/clinic', tag='v1')" in text and "branch='before'" in text and "[ ]" in text
    assert "`refs/pr/4` leads to old weights" in text and "refs/pr/5" not in text and "mirrors" in text

    todo.execute()
    assert server.state.changes == [
        ("DELETE", "tag/v1", None),
        ("DELETE", "branch/before", None),
        ("POST", "super-squash/main", {"message": "Unlearned version"}),
        ("POST", "lfs-files/batch", {"deletions": {"sha": [oid(OLD)], "rewriteHistory": True}}),
    ]
    assert set(server.state.storage) == {oid(NEW), oid(OTHER)}
    assert not (cache / "models--hospital--clinic").exists() and (cache / "models--hospital--other").exists()
    assert all(step.done for step in todo.steps if step.call) and "[x] super_squash_history" in str(todo)
    again = checklist(REPO, **{**options, "cache": tmp_path / "none"})
    assert again.stale == {}
    # What is executed once more calls nothing again.
    seen = len(server.state.changes)
    todo.execute()
    assert len(server.state.changes) == seen


def test_files_that_stay_are_an_error(server, tmp_path):
    server.state.deletes = False
    with pytest.raises(DisinheritError, match="still lists old files of hospital/clinic: model.safetensors"):
        checklist(REPO, endpoint=server.address, token="x", cache=tmp_path / "none", execute=True)


def test_what_is_not_there_yet_is_uploaded_first(server, tmp_path):
    folder = tmp_path / "edited"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"edited weights")
    (folder / "config.json").write_text("{}")
    uploads, real = [], hub.HfApi(endpoint=server.address, token="x")

    class Client:
        """The client, but for uploads: those need the storage behind the Hub."""

        def __getattr__(self, name):
            return getattr(real, name)

        def upload_folder(self, **arguments):
            uploads.append(arguments)
            server.state.trees["main"] = {"model.safetensors": b"edited weights"}
            server.state.storage[oid(b"edited weights")] = "model.safetensors"

    todo = checklist(REPO, folder, api=Client(), cache=tmp_path / "none")
    assert todo.steps[0].call == "upload_folder" and set(todo.stale) == {oid(OLD), oid(NEW)}
    assert "model.safetensors there are old" in todo.steps[0].why
    # Every reference leads to old weights then, but for the branch itself.
    assert {step.arguments.get("tag") for step in todo.steps} >= {"v1", "v2"}
    todo.execute()
    assert uploads[0]["folder_path"] == str(folder) and uploads[0]["repo_id"] == REPO and uploads[0]["delete_patterns"] == []
    assert set(server.state.storage) == {oid(b"edited weights"), oid(OTHER)}
    (folder / "model.safetensors").unlink()
    with pytest.raises(DisinheritError, match="no file of weights"):
        checklist(REPO, folder, api=Client())


def test_the_model_card_says_what_was_unlearned(tmp_path):
    registry, seen = family(tmp_path / "registry"), data()
    folder = tmp_path / "out"
    folder.mkdir()
    card = folder / "README.md"
    with pytest.raises(DisinheritError, match="not made by a request"):
        section(registry, "child")
    registry.unlearn(classes="cat", data=seen, progress=False)
    verdicts = registry.verify(seen, progress=False)
    (tmp_path / "proof.json").write_text("{}")
    card.write_text("---\nbase_model: hospital/base\n---\n# Clinic\n\nA classifier.\n")
    text = write_card(registry, "child", folder, repository=REPO, verdicts=verdicts, certificate=tmp_path / "proof.json")
    whole = card.read_text()
    assert whole.startswith("---\nbase_model: hospital/base\n---\n# Clinic\n\nA classifier.\n\n## Unlearned\n") and text in whole
    digest = registry.show("child").model.digest
    assert "forgot the classes `cat`" in text and "method `fiun`" in text and digest in text
    assert "outputs no longer name" in text and hashlib.sha256(b"{}").hexdigest() in text
    # Another request, and a section that stands in the middle.
    card.write_text(whole + "\n## Licence\n\nMIT\n")
    registry.unlearn(samples=["insects/000001"], data=seen, progress=False, accept_loss=0.5)
    write_card(registry, "child", folder)
    whole = card.read_text()
    assert whole.count("## Unlearned") == 1 and whole.endswith("\n## Licence\n\nMIT\n")
    assert "forgot the classes `cat`" in whole and "forgot 1 sample" in whole and "insects/000001" not in whole
    card.write_text(f"---\nbase_model:\n- {REPO}\n---\n")
    with pytest.raises(DisinheritError, match="its own `base_model`"):
        write_card(registry, "child", folder, repository=REPO)
