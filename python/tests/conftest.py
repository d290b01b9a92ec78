"""Tests that take long run when they are asked for."""

import os

import pytest


#: The files that take longest, first: no process waits in the end for one that another began last.
LONGEST = ("test_types.py", "test_mlflow.py", "test_ray.py", "test_ray_worker.py", "test_flower.py", "test_deep.py", "test_jax.py", "test_peft.py")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run what takes half a minute or more, too")


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    if config.getoption("--long") or os.environ.get("DISINHERIT_LONG"):
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes long: --long or DISINHERIT_LONG=1 runs it"))
