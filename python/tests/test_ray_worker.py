"""`disinherit serve --executor ray`: requests come in over HTTP, a Ray cluster does them, and drivers are killed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ray = pytest.importorskip("ray", reason="ray is not installed (python/requirements-stack.txt)")
from ray.cluster_utils import Cluster  # noqa: E402

import disinherit  # noqa: E402
from disinherit import Registry  # noqa: E402

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))
import ray_worker_support as support  # noqa: E402

PROGRAM = os.environ.get("DISINHERIT_PROGRAM", "")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="the command line is not built (DISINHERIT_PROGRAM)")

MODELS = support.DESCENDANTS + 1
TERMS = {"accept_loss": 1.0}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A cluster with two processors, whose workers find the package, this folder and the notes."""
    notes = tmp_path_factory.mktemp("notes")
    paths = [str(TESTS), str(Path(disinherit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, paths)), RAY_SUPPORT=str(notes))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    yield made.address
    made.shutdown()


@pytest.fixture()
def notes(address):
    folder = Path(os.environ["RAY_SUPPORT"])
    for note in folder.iterdir():
        note.unlink()
    return folder


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A registry, and what one machine makes of the request in a copy of it."""
    place = tmp_path_factory.mktemp("family") / "registry"
    registry = Registry.create(place)
    support.fill(registry)
    del registry
    copy = place.with_name("one")
    shutil.copytree(place, copy)
    one = Registry(copy)
    one.requests.new(classes="cat", initial="base")
    one.requests.plan(1, **TERMS)
    one.requests.approve(1)
    one.requests.run(1, support.data(), progress=False)
    one.requests.verify(1, support.data(), progress=False, at_most=1.0)
    return place, digests(one), one.requests.verdicts(1)


@pytest.fixture()
def place(family, tmp_path):
    shutil.copytree(family[0], tmp_path / "registry")
    return tmp_path / "registry"


def digests(registry):
    return {model.id: model.digest for model in registry.models()}


def commands(place):
    return [operation.command for operation in Registry(place).log()]


def eventually(what, is_so):
    until = time.monotonic() + 60
    while not (found := is_so()):
        assert time.monotonic() < until, what
        time.sleep(0.1)
    return found


class Server:
    """`disinherit serve`, and a client of it."""

    def __init__(self, place, *flags):
        self.log = place.with_name("log")
        made = [PROGRAM, "token", "new", "ann", "--role", "admin", "--json", "--registry", place]
        self.token = json.loads(subprocess.run(made, check=True, capture_output=True).stdout)["secret"]
        command = [PROGRAM, "serve", "--registry", place, "--listen", "127.0.0.1:0", "--log", "info"]
        command += ["--executor", "ray", "--python", sys.executable, "--at-most", "1", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log.open("w"), text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), line + self.log.read_text()
        self.address = line.split()[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        head = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(self.address + path, data, head), timeout=30) as answer:
            text = answer.read().decode()
        return json.loads(text) if text[:1] in "[{" else text

    def step(self, name, **body):
        return self.call(f"/api/v1/requests/1/{name}", body)

    def approved(self):
        """Files the request, and takes it to the point where it may be run."""
        self.call("/api/v1/requests", {"forget": {"classes": ["cat"]}, "from": ["base"]})
        self.step("plan", **TERMS)
        self.step("approve")

    def job(self):
        return self.call("/api/v1/requests/1/jobs")[-1]

    def ended(self):
        return eventually("the job ends", lambda: (job := self.job())["ended"] and job)

    def drivers(self):
        """The processes that took jobs, the last one at the end."""
        return [int(number) for number in re.findall(r"the worker is started process=(\d+)", self.log.read_text())]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log.read_text()


def halted(server, notes):
    """Waits until one worker of the cluster has done what there was to do, and the other one is at its first shard."""
    eventually("a worker is held up", (notes / "halted").exists)
    eventually("the others are done", lambda: f"{MODELS - 1} of {MODELS}" in server.job()["said"])


def finished(place, family):
    """What must hold in the end, whatever happened."""
    registry = Registry(place)
    assert digests(registry) == family[1]
    assert registry.requests.verdicts(1) == family[2]
    assert registry.check().is_sound
    log = commands(place)
    assert [log.count(command) for command in ("unlearn", "request verify", "request fail")] == [1, 1, 0]


def test_a_request_is_done_once_though_the_driver_is_killed(address, place, family, notes):
    flags = ["--data", "ray_worker_support:halting", "--ray-address", address, "--ray-workers", "2"]
    with Server(place, *flags) as server:
        server.approved()
        server.step("run")
        halted(server, notes)
        assert "unlearn" not in commands(place)
        os.kill(server.drivers()[-1], signal.SIGKILL)
        (notes / "go").touch()
        job = server.ended()
        assert (job["state"], job["said"]) == ("done", f"{MODELS} models published"), server.log.read_text()
        server.step("verify")
        job = server.ended()
        assert (job["state"], job["said"]) == ("done", f"{MODELS} models judged"), server.log.read_text()
        assert len(server.drivers()) == 2 and commands(place).count("request run") == 2
        metrics = server.call("/metrics")
        assert "disinherit_worker_up 1" in metrics and 'disinherit_jobs_total{end="done"} 2' in metrics
        assert server.call("/readyz") == "ready\n"
        assert "models edited" in server.log.read_text(), "the cluster did it"
        server.stop()
    finished(place, family)


@pytest.mark.long
def test_a_job_is_cancelled_and_left_to_another_worker(address, place, family, notes):
    flags = ["--data", "ray_worker_support:halting", "--ray-address", address, "--ray-workers", "2", "--patience", "0s"]
    with Server(place, *flags) as server:
        server.approved()
        server.step("run")
        halted(server, notes)
        server.step("cancel", reason="too early")
        assert server.ended()["state"] == "cancelled"
        eventually("the driver stops", lambda: "a job has ended" in server.log.read_text())
        server.stop()
    for note in notes.iterdir():
        note.unlink()
    # Another server goes on with what was finished, and is stopped in the middle.
    with Server(place, *flags) as server:
        server.step("run")
        eventually("a worker is held up", (notes / "halted").exists)
        server.stop()
    assert "unlearn" not in commands(place)
    (notes / "go").touch()
    command = [sys.executable, "-m", "disinherit.ray", "worker", "--registry", place, "--address", address]
    command += ["--data", "ray_worker_support:data", "--at-most", "1", "--json"]
    done = subprocess.run([*command, "--drain"], capture_output=True, text=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and [event["event"] for event in events] == ["ready", "taken", "ended"], done
    assert (events[-1]["state"], events[-1]["actor"]) == ("done", "ann")
    one = Registry(place)
    assert digests(one) == family[1]
    one.requests.verify(1, support.data(), progress=False, at_most=1.0)
    finished(place, family)


def test_what_is_missing_is_said(place, tmp_path):
    def refused(python):
        command = [PROGRAM, "serve", "--registry", place, "--executor", "ray", "--listen", "127.0.0.1:0", "--python", python]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 3
        return done.stderr

    assert "cannot start `no-python`" in refused("no-python")
    for name, words, why in [
        ("bare", "exec $PYTHON -S -E -m disinherit.ray", "cannot do jobs on Ray: .*No module named"),
        ("old", "echo '{\"disinherit\": \"0.0.1\"}'", "has disinherit 0.0.1, and this is"),
    ]:
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\n{words.replace('$PYTHON', sys.executable)}\n")
        script.chmod(0o755)
        said = refused(script)
        assert re.search(why, said) and "pip install 'disinherit[ray]==" in said, said
    with Server(place, "--data", str(tmp_path / "nowhere.parquet")) as server:
        eventually("it is noticed", lambda: "it is started again in 2 s" in server.log.read_text())
        assert "nowhere.parquet" in server.log.read_text()
        assert server.call("/readyz") == "ready\njobs wait: their worker does not run, the log says why\n"
        assert "disinherit_worker_up 0" in server.call("/metrics")
        server.approved()
        server.step("run")
        assert server.job()["state"] == "waiting"
        server.stop()
    with Server(place) as server, pytest.raises(urllib.error.HTTPError, match="409"):
        server.step("verify")
