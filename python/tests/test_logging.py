"""What happens in the engine, in Python's ``logging``."""

import logging

import pytest

import disinherit
from test_registry import data, registry  # noqa: F401


def test_records_reach_loggers_by_level(registry, caplog):  # noqa: F811
    caplog.set_level(logging.DEBUG, logger="disinherit")
    disinherit.enable_logging()
    registry.plan(classes="cat", initial="base")
    planned = [record for record in caplog.records if record.name == "disinherit.prepared"]
    assert [record.levelno for record in planned] == [logging.INFO]
    assert planned[0].getMessage() == "planned method=fiun edits=2 retired=0"
    assert not [record for record in caplog.records if record.levelno < logging.INFO]

    caplog.clear()
    disinherit.enable_logging("debug")
    done = registry.unlearn(classes="cat", initial="base", data=data(), progress=False)
    told = [(record.name, record.getMessage().split(" ")[0]) for record in caplog.records]
    assert ("disinherit.publish", "published") in told
    # Initial models are named, and the graph is read once all the same.
    before = told[: told.index(("disinherit.prepared", "planned"))]
    assert before.count(("disinherit.registry.registry", "the")) == 1
    edits = [record.getMessage() for record in caplog.records if record.getMessage().startswith("edit ")]
    assert {f"model={model.before}" for model in done.models} == {edit.split(" ")[1] for edit in edits}

    caplog.clear()
    disinherit.enable_logging(logging.ERROR)
    registry.umig()
    assert not caplog.records
    with pytest.raises(ValueError, match="no level"):
        disinherit.enable_logging("loud")
