"""Exceptions tell kinds apart, and their words name arguments and methods of Python, never the shell's."""

import re

import numpy as np
import pytest

import disinherit
from disinherit import Data, DisinheritError, Registry
from test_registry import LABELS, data, registry, state, trained  # noqa: F401


def said(error, call):
    """What a refusal says; it must be of this very class, and not speak to a shell."""
    with pytest.raises(DisinheritError) as raised:
        call()
    assert type(raised.value) is error, raised.value
    words = str(raised.value)
    assert not re.search(r"(^|[\s`(])--[a-z]|`disinherit ", words), words
    return words


def test_kinds_are_told_apart(registry, tmp_path):  # noqa: F811
    assert "did you mean" in said(disinherit.UnknownModel, lambda: registry.show("bose"))
    assert "`Registry.models()`" in said(disinherit.UnknownModel, lambda: registry.show("something else"))
    assert "cow" in said(disinherit.UnknownLabel, lambda: registry.unlearn(classes="cow", data=data()))
    words = said(disinherit.NeedsData, lambda: registry.unlearn(classes="cat", initial="base"))
    assert "give its training data (`data=`)" in words and '`Registry.fisher("base@1", data)`' in words
    said(disinherit.UnusableData, lambda: Data.open(tmp_path / "nowhere"))
    said(disinherit.UnusableFile, lambda: registry.add("x", tmp_path / "nowhere.pt"))
    assert "`Registry.create(place)`" in said(disinherit.NoRegistry, lambda: Registry(tmp_path / "nowhere"))
    said(disinherit.RegistryExists, lambda: Registry.create(tmp_path))
    registry.unlearn(classes="cat", initial="base", data=data(), progress=False)
    registry.purge(["base@1"], reason="a test")
    assert "`Registry.log()`" in said(disinherit.WeightsPurged, lambda: registry.head("base@1"))


def test_hints_name_arguments(registry, tmp_path):  # noqa: F811
    single = {"fc.weight": np.ones((2, 4), np.float32), "fc.bias": np.zeros(2, np.float32)}
    several = {f"{layer}.{part}": size * value for layer, size in (("one", 1), ("two", 2))
               for part, value in (("weight", single["fc.weight"]), ("bias", single["fc.bias"]))}
    assert "name it with `head=`" in said(DisinheritError, lambda: registry.add("x", several, labels=["a", "b"]))
    twice = {**single, "embed.weight": single["fc.weight"]}
    assert "`untied=True`" in said(DisinheritError, lambda: registry.add("x", twice, labels=["a", "b"]))
    assert registry.add("x", twice, labels=["a", "b"], untied=True) == "x@1"
    words = said(DisinheritError, lambda: registry.unlearn(classes="cat", initial="base", data=data(), layers="none.*"))
    assert "`none.*`" in words and "`layers=`" in words
    words = said(
        disinherit.NeedsData,
        lambda: (registry.fisher(["base", "child"], data(), progress=False),
                 registry.unlearn(classes="cat", initial="base", raw=True, progress=False)),
    )
    assert "`data=`" in words and "`alpha=`" in words
    assert "`Registry.log()`" in said(DisinheritError, lambda: registry.undo(99))
    assert "`initial=[...]` names them" in said(DisinheritError, lambda: Registry.memory().plan(source="zoo"))
    assert "leave `method=` out" in said(
        DisinheritError, lambda: registry.unlearn(classes="cat", initial="base", data=data(), method="matching")
    )
    assert "`parents=` says `cousin`" in said(
        DisinheritError, lambda: registry.add("y", state(trained(1)), labels=LABELS, parents={"base": "cousin"})
    )


def test_ids_that_do_not_fit_are_explained():
    features, labels, heldout = np.ones((4, 2)), [0, 1, 0, 1], [False, True, False, True]
    made = Data.from_features(
        features, labels, ["a", "b"], heldout=heldout, ids=["t0", "t1"], heldout_ids=["h0", "h1"]
    )
    assert made.train_ids == ["t0", "t1"] and made.heldout_ids == ["h0", "h1"]
    for options, words in [
        (dict(ids=["a", "b", "c", "d"]), "`ids=` has 4 ids for 2 training samples: give one for each; held-out"),
        (dict(ids=["a", "b"], heldout_ids=["c"]), "`heldout_ids=` has 1 ids for 2 held-out samples"),
    ]:
        with pytest.raises(DisinheritError, match=words):
            Data.from_features(features, labels, ["a", "b"], heldout=heldout, **options)
    with pytest.raises(DisinheritError, match="`heldout=` has 2 marks for 4 labels"):
        Data.from_features(features, labels, ["a", "b"], heldout=[True, False])
    with pytest.raises(DisinheritError, match="give `ids=`"):
        Data.external(object(), labels, ["a", "b"])


def test_old_names_still_work():
    with pytest.warns(DeprecationWarning, match="external"):
        with pytest.raises(DisinheritError, match="give `ids=`"):
            Data.elsewhere(object(), [0], ["a"])
