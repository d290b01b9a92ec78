"""Networks of Flax and of Keras forget by the protocol of any framework: the two examples."""

import importlib
import os
import sys
from pathlib import Path

import pytest

# Without it Keras asks for TensorFlow when it is imported.
os.environ.setdefault("KERAS_BACKEND", "jax")
EXAMPLES = Path(__file__).parents[1] / "examples"
pytest.importorskip("jax", reason="jax is not installed (python/requirements-adapters.txt)")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")


@pytest.mark.parametrize(("example", "package"), [("flax_family", "flax"), ("keras_family", "keras")])
def test_a_family_forgets_in_its_features(example, package, monkeypatch):
    pytest.importorskip(package, reason=f"{package} is not installed (python/requirements-adapters.txt)")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    found = importlib.import_module(example).main(["--forget", "3"])
    assert set(found) == {"base", "child"}
    for (digit, others), (digit_now, others_now), passed, layer in found.values():
        assert digit > 0.8 and others > 0.85
        assert passed and digit_now <= 0.01 and others_now > others - 0.03
        assert layer == "body.weight"
    sys.modules.pop(example)
