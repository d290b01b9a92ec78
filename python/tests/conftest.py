"""Tests that take long run when they are asked for."""

import os

import pytest


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run what takes half a minute or more, too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long") or os.environ.get("DISINHERIT_LONG"):
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes long: --long or DISINHERIT_LONG=1 runs it"))
