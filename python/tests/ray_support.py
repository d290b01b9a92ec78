"""What workers of tests/test_ray.py import: a family of small modules, and data that goes wrong."""

import copy
import itertools
import os
import signal
import time
from pathlib import Path

import ray
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from disinherit.torch import samples

NAMES = [str(digit) for digit in range(10)]
#: Models that come from the first one.
DESCENDANTS = 11


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def loaders():
    digits = load_digits()
    images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    cut = [slice(0, 600), slice(600, 900)]
    return [DataLoader(TensorDataset(images[part], labels[part]), 100) for part in cut]


def trained(module, epochs, seed):
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), 0.005)
    samples = DataLoader(loaders()[0].dataset, 100, shuffle=True)
    for _ in range(epochs):
        for inputs, labels in samples:
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(inputs), labels).backward()
            optimizer.step()
    return module


def fill(registry):
    """Adds the family."""
    base = trained(net(), 30, 0)
    registry.add("base", base, labels=NAMES, trained_on="digits")
    for number in range(DESCENDANTS):
        module = trained(copy.deepcopy(base), 2, number)
        registry.add(f"clinic-{number:02}", module, labels=NAMES, parents="base", trained_on="digits")


def data(module=None):
    train, heldout = loaders()
    return samples(module or net(), train, labels=NAMES, heldout=heldout, name="digits")


def once(name):
    """Whether this is the first call with this name, in all processes."""
    try:
        (Path(os.environ["RAY_SUPPORT"]) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def deadly():
    """Data whose first worker is killed in the middle of its shard, when its modules have seen ten batches."""
    module, passes = net(), itertools.count(1)

    def strike(*_):
        if next(passes) >= 10 and once("killed"):
            os.kill(os.getpid(), signal.SIGKILL)

    module.register_forward_hook(strike)
    return data(module)


def slow_at_first():
    """Data that the first worker opens in a minute, so that there is time to take its node away."""
    if ray.get_runtime_context().get_task_id() is not None and once("opened"):
        time.sleep(60)
    return data()


def with_gpu():
    """Data that notes which GPU Ray gave to the worker that opens it."""
    if ray.get_runtime_context().get_task_id() is not None:
        once(f"gpu-{ray.get_gpu_ids()[0]}")
    return data()


def broken():
    """No data."""
    raise OSError("the disk is on fire")
