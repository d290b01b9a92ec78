"""The package is what its types say: `mypy --strict` on it, and `stubtest` on the compiled half."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import disinherit

ROOT = Path(__file__).parents[1]
PACKAGE = Path(disinherit.__file__).parent
has_mypy = pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")


def run(folder, *arguments):
    # From a folder of its own: the package is found where it is installed.
    installed = PACKAGE.parent.name == "site-packages"
    paths = {} if installed else {"MYPYPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env={**os.environ, **paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@has_mypy
def test_the_compiled_half_is_what_its_stub_says(tmp_path):
    run(
        tmp_path,
        "mypy.stubtest",
        "disinherit._disinherit",
        "--mypy-config-file",
        ROOT / "pyproject.toml",
        "--allowlist",
        ROOT / "tests" / "stubtest-allowlist.txt",
    )


#: What parts of the package are for, and need.
ADAPTERS = {"torch": ["torch"], "sklearn": ["sklearn"], "mlflow": ["mlflow", "torch"], "flower": ["flwr"], "ray": ["ray"], "peft": ["peft", "torch"], "hub": ["huggingface_hub"]}


@has_mypy
def test_the_package_is_typed_throughout(tmp_path):
    files = [path for path in PACKAGE.rglob("*.py*") if path.suffix in (".py", ".pyi")]
    for part, needed in ADAPTERS.items():
        if any(importlib.util.find_spec(name) is None for name in needed):
            files = [path for path in files if path.relative_to(PACKAGE).parts[0] not in (part, f"{part}.py")]
    run(tmp_path, "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", tmp_path, *files)


def test_the_extra_is_what_the_requirements_say():
    project = (ROOT / "pyproject.toml").read_text()
    extra = re.search(r"^test = \[\n(.*?)^\]", project, re.S | re.M).group(1)
    lines = (ROOT / "requirements-test.txt").read_text().splitlines()
    assert re.findall(r'"(.*)"', extra) == [line for line in lines if not line.startswith("#")]


def test_importing_the_package_leaves_numpy_out():
    """It takes longer to import than all else, and only arrays need it."""
    code = "import sys, disinherit; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
