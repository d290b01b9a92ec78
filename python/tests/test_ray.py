"""Requests on a Ray cluster of three simulated nodes: what one machine makes, whoever dies."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ray = pytest.importorskip("ray", reason="ray is not installed (python/requirements-stack.txt)")
for needed in ("torch", "sklearn"):
    pytest.importorskip(needed)
from ray.cluster_utils import Cluster  # noqa: E402

import disinherit  # noqa: E402
import disinherit.ray as on_ray  # noqa: E402
from disinherit import DisinheritError, Registry, UnknownLabel  # noqa: E402

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))
import ray_support  # noqa: E402

#: What `python/pytest.rs` starts for these tests: an S3 bucket and a database.
STORAGE, CATALOG = os.environ.get("DISINHERIT_TEST_STORAGE"), os.environ.get("DISINHERIT_TEST_CATALOG")
REQUEST = {"classes": "3", "initial": "base", "accept_loss": 1.0, "depth": "outputs"}


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """A folder that all processes know."""
    folder = tmp_path_factory.mktemp("notes")
    os.environ["RAY_SUPPORT"] = str(folder)
    return folder


@pytest.fixture(scope="module")
def cluster(notes):
    """Three nodes with one processor each."""
    paths = [str(TESTS), str(Path(disinherit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(2):
        made.add_node(num_cpus=1)
    made.wait_for_nodes()
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A registry in a folder, and what one machine makes of the request in a copy of it."""
    place = tmp_path_factory.mktemp("family") / "registry"
    registry = Registry.create(place)
    ray_support.fill(registry)
    del registry
    copy = place.with_name("one")
    shutil.copytree(place, copy)
    one = Registry(copy)
    one.unlearn(**REQUEST, data=ray_support.data(), progress=False)
    return place, digests(one), one.verify(ray_support.data(), progress=False)


@pytest.fixture()
def place(family, tmp_path, notes):
    """A copy of the family."""
    for note in notes.iterdir():
        note.unlink()
    shutil.copytree(family[0], tmp_path / "registry")
    return tmp_path / "registry"


def digests(registry):
    return {model.id: model.digest for model in registry.models()}


def finished(place, family):
    """What must hold in the end, whatever happened."""
    registry = Registry(place)
    assert digests(registry) == family[1]
    assert [operation.command for operation in registry.log()].count("unlearn") == 1
    health = registry.check()
    assert health.is_sound
    del registry


def outcomes(done):
    return [run.outcome for run in done.shards]


def test_three_nodes_make_what_one_machine_makes(cluster, place, family, caplog):
    with caplog.at_level(logging.INFO, "disinherit.ray"):
        done = on_ray.unlearn(place, data="ray_support:data", **REQUEST)
    assert set(outcomes(done)) == {"success"} and len(done.shards) == ray_support.DESCENDANTS + 1
    assert len({run.node for run in done.shards}) == 3
    assert f"1/12 on {[run.node for run in done.shards if run.shard == 1][0]}: 1 models edited" in caplog.text
    assert len(done.result.models) == ray_support.DESCENDANTS + 1
    finished(place, family)
    judged = on_ray.verify(place, data="ray_support:data", num_workers=2)
    assert judged.result == family[2]


def test_shared_storage_makes_what_a_folder_makes(cluster, family, notes):
    if not STORAGE or not CATALOG:
        pytest.skip("no storage and no database: python/pytest.rs starts them")
    url = f"{STORAGE}/ray"
    ray_support.fill(Registry.create(url, catalog=CATALOG))
    done = on_ray.unlearn(url, data="ray_support:deadly", shards=3, **REQUEST)
    assert outcomes(done).count("worker_died") == 1
    finished(url, family)


def test_a_worker_that_is_killed_costs_what_it_was_at(cluster, place, family):
    done = on_ray.unlearn(place, data="ray_support:deadly", shards=3, **REQUEST)
    assert sorted(outcomes(done)) == ["success"] * 3 + ["worker_died"]
    died = next(run for run in done.shards if run.outcome == "worker_died")
    again = [run for run in done.shards if run.shard == died.shard and run.attempt == 2]
    assert len(again) == 1 and again[0].outcome == "success"
    finished(place, family)


@pytest.mark.long
def test_a_node_that_goes_away_is_done_without(cluster, place, family, notes):
    # All work goes to a fourth node; when it is at it another one takes its place.
    fourth = cluster.add_node(num_cpus=1, resources={"fourth": 1})
    arguments = {"shards": 3, "ray_remote_args": {"resources": {"fourth": 0.1}}, **REQUEST}
    with ThreadPoolExecutor() as pool:
        request = pool.submit(on_ray.unlearn, place, data="ray_support:slow_at_first", **arguments)
        while not (notes / "opened").exists():
            assert not request.done(), request.result()
            time.sleep(0.1)
        cluster.remove_node(fourth, allow_graceful=False)
        cluster.add_node(num_cpus=1, resources={"fourth": 1})
        done = request.result()
    assert "worker_died" in outcomes(done) and outcomes(done).count("success") == 3
    finished(place, family)


@pytest.mark.long
def test_a_driver_that_is_killed_is_started_again(cluster, place, family):
    script = (
        "import logging, sys, ray, disinherit.ray\n"
        "logging.basicConfig(level='INFO')\n"
        f"ray.init(address={cluster.address!r}, log_to_driver=False)\n"
        f"disinherit.ray.unlearn({str(place)!r}, data='ray_support:data', num_workers=1, **{REQUEST!r})\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    for line in driver.stderr:
        if "models edited" in line:
            break
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert digests(Registry(place)) != family[1], "nothing is published yet"
    done = on_ray.unlearn(place, data="ray_support:data", **REQUEST)
    assert any("0 models edited, 1 were finished" in run.said for run in done.shards)
    finished(place, family)


def test_failures_are_values(cluster, place):
    before = digests(Registry(place))
    with pytest.raises(OSError, match="on fire"):
        on_ray.unlearn(place, data="ray_support:broken", **REQUEST)
    with pytest.raises(on_ray.ShardFailed, match="shard 1/1 failed in 3 attempts.*on fire") as failed:
        on_ray.fisher(place, "base", data=ray_support.broken, max_retries=2)
    assert [(run.attempt, run.outcome) for run in failed.value.shards] == [(n, "failed") for n in (1, 2, 3)]
    with pytest.raises(UnknownLabel):
        on_ray.unlearn(place, classes="cat", data="ray_support:data")
    with pytest.raises(TypeError, match="`shard=`"):
        on_ray.unlearn(place, shard="1/2", **REQUEST)
    with pytest.raises(DisinheritError, match="in the cluster at .* already"):
        on_ray.verify(place, data="ray_support:data", address="10.0.0.1:6379")
    with pytest.raises(DisinheritError, match="opens for itself"):
        on_ray.unlearn(place, data=ray_support.data(), **REQUEST)
    assert digests(Registry(place)) == before


@pytest.mark.long
def test_other_versions_are_refused(cluster, place, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(Path(disinherit.__file__).parent, other / "disinherit")
    with (other / "disinherit" / "__init__.py").open("a") as file:
        file.write('\n__version__ = "9.9.9"\n')
    path = os.pathsep.join([str(other), str(TESTS)])
    with pytest.raises(on_ray.VersionsDiffer, match=rf"9\.9\.9.*{disinherit.__version__}"):
        on_ray.unlearn(
            place, data="ray_support:data", ray_remote_args={"runtime_env": {"env_vars": {"PYTHONPATH": path}}}, **REQUEST
        )


def test_a_worker_has_the_gpu_that_it_asks_for(cluster, place, family, notes):
    fifth = cluster.add_node(num_cpus=1, num_gpus=1)
    done = on_ray.unlearn(place, data="ray_support:with_gpu", shards=2, ray_remote_args={"num_gpus": 1}, **REQUEST)
    assert set(outcomes(done)) == {"success"} and len({run.node for run in done.shards}) == 1
    assert (notes / "gpu-0").exists()
    finished(place, family)
    cluster.remove_node(fifth)


@pytest.mark.long
def test_cards_are_made_by_all(cluster, place):
    made = on_ray.fisher(place, data="ray_support:data")
    assert made.result == ray_support.DESCENDANTS + 1
    assert on_ray.fisher(place, data="ray_support:data").result == 0


@pytest.mark.long
def test_a_family_of_transformers_forgets_on_a_laptop(tmp_path):
    pytest.importorskip("transformers")
    script = TESTS.parent / "examples" / "ray_family.py"
    # A cluster of its own, as where there is none.
    environment = {**os.environ, "RAY_ADDRESS": "local", "RAY_TMPDIR": tempfile.gettempdir(), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if " of the 3s, " in line]
    assert len(told) == 21 and len({line.split()[0] for line in told}) == 21, done.stdout
    for line in told:
        forgotten, others = (int(share) for share in re.findall(r"(\d+)%", line))
        assert forgotten <= 1 and others >= 80, line


def test_the_page_shows_the_example():
    half = (TESTS.parent / "examples" / "ray_family.py").read_text().partition("# From here")[2]
    shown = half.partition("\n")[2].partition("\n\n\nif __name__")[0]
    assert shown in (TESTS.parents[1] / "docs" / "many-machines.md").read_text()
    assert len([line for line in half.splitlines() if line.strip()]) < 30
