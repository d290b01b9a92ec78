"""What tests/test_ray_worker.py and its workers import: a family of heads on features, and data that makes some wait."""

import os
import time
from pathlib import Path

import numpy as np
import ray

from disinherit import Data

LABELS = ["ant", "bee", "cat"]
#: Models that come from the first one.
DESCENDANTS = 7


def samples(seed):
    chance = np.random.default_rng(seed)
    labels = np.arange(240) % 3
    return (3 * np.eye(3, 8)[labels] + 0.3 * chance.normal(size=(240, 8))).astype(np.float32), labels


def fill(registry):
    """Adds the family, whose heads answer by the first three features."""
    for number in range(DESCENDANTS + 1):
        weight = np.random.default_rng(number).normal(scale=0.05, size=(3, 8)).astype(np.float32)
        weight[:, :3] += 4 * np.eye(3, dtype=np.float32)
        head = {"head.weight": weight, "head.bias": np.zeros(3, np.float32)}
        name, parents = (f"clinic-{number}", "base") if number else ("base", ())
        registry.add(name, head, labels=LABELS, head="head", parents=parents, trained_on="insects")


def data():
    (features, labels), (other, more) = samples(1), samples(2)
    heldout = np.arange(480) >= 240
    features, labels = np.concatenate([features, other]), np.concatenate([labels, more])
    return Data.from_features(features, labels, LABELS, heldout=heldout, name="insects")


def halting():
    """Data that one worker opens at once, and all others when they may."""
    notes = Path(os.environ["RAY_SUPPORT"])
    if ray.is_initialized() and ray.get_runtime_context().get_task_id() is not None:
        try:
            (notes / "first").touch(exist_ok=False)
        except FileExistsError:
            (notes / "halted").touch()
            until = time.monotonic() + 60
            while not (notes / "go").exists() and time.monotonic() < until:
                time.sleep(0.05)
    return data()
