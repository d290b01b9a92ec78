"""ONNX Runtime, from its package, in place of the engine's own: in processes of their own, since a process loads one."""

import subprocess
import sys

import pytest

onnxruntime = pytest.importorskip("onnxruntime", reason="SKIPPED: onnxruntime is not installed")
pytest.importorskip("onnx", reason="SKIPPED: onnx is not installed")

SCRIPT = """
import logging, sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import disinherit

logging.basicConfig(level=logging.INFO, format="%(message)s")
disinherit.enable_logging()
rng = np.random.default_rng(0)
weights = {"a": (32, 64), "a.bias": (32,), "b": (10, 32), "b.bias": (10,)}
graph = helper.make_graph(
    [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Gemm", ["flat", "a", "a.bias"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["features"]),
        helper.make_node("Gemm", ["features", "b", "b.bias"], ["logits"], transB=1),
    ],
    "two layers",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
    [numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name) for name, shape in weights.items()],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "model.onnx")
registry = disinherit.Registry.create("registry")
data = disinherit.Data.open("digits")
registry.add("base", "model.onnx", labels=[str(n) for n in range(10)], trained_on="digits")

def scores():
    [verdict] = disinherit.Registry("registry").verify(data, models=["base"], classes="3", progress=False)
    return verdict.scores

ours = scores()
print("version", disinherit.use_onnx_runtime())
print("again", disinherit.use_onnx_runtime())
assert scores() == ours, (scores(), ours)
for wrong in ("model.onnx", "absent.so"):
    try:
        disinherit.use_onnx_runtime(wrong)
        sys.exit("it was loaded")
    except disinherit.DisinheritError as error:
        print(error)
"""


def test_graphs_are_run_by_the_installed_package(tmp_path):
    ran = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    assert f"version {onnxruntime.__version__}" in said and f"again {onnxruntime.__version__}" in said
    assert any("model.onnx cannot be loaded as ONNX Runtime" in line and "loaded already" in line for line in said)
    assert any("absent.so cannot be loaded as ONNX Runtime" in line for line in said)
    own, theirs = ran.stderr.split("run by ONNX Runtime", 1)
    assert "run by the engine for image networks" in own and f" {onnxruntime.__version__} model=base@1" in theirs


def test_a_file_that_is_no_library_is_refused_with_its_name(tmp_path):
    (tmp_path / "lib.so").write_bytes(b"no library")
    code = "import disinherit; disinherit.use_onnx_runtime('lib.so')"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert "lib.so cannot be loaded as ONNX Runtime" in ran.stderr
