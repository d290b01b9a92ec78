"""What Ray costs and gains: seconds for each shard whose work is done already, speed-up of one request, the driver's memory.

    python benches/peers/machines.py [shards|workers|memory]

Seconds by the clock, on this machine: nothing else should run on it. Needs python/requirements-stack.txt.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import ray

sys.path.insert(0, str(Path(__file__).parents[2] / "python" / "tests"))
import ray_support as family  # noqa: E402

import disinherit.ray  # noqa: E402
from disinherit import Data, Registry  # noqa: E402

SHARDS, MODELS, SIZES = 100, 24, (100, 1000)
NAMES = [f"c{label}" for label in range(10)]
REQUEST = {"classes": "3", "initial": "base", "accept_loss": 1.0, "progress": False}
HEADS = {"classes": "c3", "initial": "base", "accept_loss": 1.0, "rule": True, "progress": False}


def clocked(what):
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


def features():
    chance = np.random.default_rng(0)
    labels = np.arange(500) % 10
    return Data.from_features(chance.normal(size=(500, 64)) + np.eye(10, 64)[labels] * 3, labels, NAMES)


def heads(place, count):
    """A family of heads of 64 inputs, with cards."""
    registry, chance = Registry.create(place), np.random.default_rng(1)
    for number in range(count):
        weight = np.eye(10, 64) + chance.normal(size=(10, 64)) / 10
        tensors = {"fc.weight": weight.astype(np.float32), "fc.bias": np.zeros(10, np.float32)}
        named = ("base", ()) if number == 0 else (f"head{number}", "base")
        registry.add(named[0], tensors, labels=NAMES, head="fc", parents=named[1], trained_on="features")
    registry.fisher([model.id for model in registry.models()], features(), progress=False)


def shards():
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/registry"
        heads(place, SHARDS)
        Registry(place).unlearn_shard("1/1", **HEADS)
        ray.init(num_cpus=1, log_to_driver=False)
        took = []
        with tempfile.TemporaryDirectory() as copies:
            for number in range(2):
                shutil.copytree(place, f"{copies}/{number}")
                again = lambda: disinherit.ray.unlearn(f"{copies}/{number}", shards=SHARDS, **HEADS)  # noqa: E731
                took.append(clocked(again))
        alone = clocked(lambda: Registry(place).unlearn(**HEADS))
        ray.shutdown()
        print(f"{SHARDS} shards that were done, by one worker: {took[1]:.2f} s (first call {took[0]:.2f} s); published alone {alone:.2f} s")
        print(f"overhead of a shard: {1000 * (took[1] - alone) / SHARDS:.0f} ms")


def workers():
    family.DESCENDANTS = MODELS - 1
    with tempfile.TemporaryDirectory() as folder:
        family.fill(Registry.create(f"{folder}/registry"))

        def copied(name):
            return shutil.copytree(f"{folder}/registry", f"{folder}/{name}")

        here = Registry(copied("alone"))
        alone = clocked(lambda: here.unlearn(data=family.data(), jobs=1, **REQUEST))
        print(f"{MODELS} modules in this process, one thread: {alone:.2f} s")
        for count in (1, 2):
            ray.init(num_cpus=count, log_to_driver=False)
            # Once for the workers to start, and once that counts.
            disinherit.ray.unlearn(copied(f"warm{count}"), data="ray_support:data", **REQUEST)
            place = copied(f"by{count}")
            took = clocked(lambda: disinherit.ray.unlearn(place, data="ray_support:data", **REQUEST))
            print(f"by {count} workers of Ray: {took:.2f} s, {alone / took:.2f} times as fast")
            ray.shutdown()


def memory():
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            heads(f"{folder}/registry", size)
            call = f"import sys, machines; machines.driver({folder + '/registry'!r})"
            here = Path(__file__).parent
            subprocess.run([sys.executable, "-c", call], cwd=here, check=True)


def driver(place):
    """A driver in a process of its own."""
    ray.init(num_cpus=1, log_to_driver=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = disinherit.ray.unlearn(place, **HEADS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{len(done.result.models)} models: driver {peak / 1024:.0f} MiB at most, {before / 1024:.0f} before")


if __name__ == "__main__":
    os.environ.update(OMP_NUM_THREADS="1", RAYON_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(sys.path))
    for part in sys.argv[1:] or ["shards", "workers", "memory"]:
        {"shards": shards, "workers": workers, "memory": memory}[part]()
