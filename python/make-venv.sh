#!/usr/bin/env bash
# Makes a virtual environment that can run all tests of the package, PyTorch included:
#
#     python/make-venv.sh FOLDER          (with FOLDER/bin/python, as `DISINHERIT_PYTHON`)
#
# Everything comes from PyPI. PyTorch's wheel there is linked against CUDA's libraries, so these come too, also
# where there is no GPU: without them `import torch` fails.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
folder=${1:?"say where: make-venv.sh FOLDER"}
"$python" -m venv "$folder"
# Byte code is made when a module is first imported.
"$folder/bin/pip" install --quiet --no-compile --disable-pip-version-check --requirement "$here/requirements-test.txt"
# What the adapters to other tools need besides; their tests are skipped with a note where it cannot be had.
"$folder/bin/pip" install --quiet --no-compile --disable-pip-version-check --requirement "$here/requirements-adapters.txt" ||
    echo "SKIPPED: python/requirements-adapters.txt cannot be installed: the tests of Flower, Flax and Keras"
"$folder/bin/pip" install --quiet --no-compile --disable-pip-version-check --requirement "$here/requirements-stack.txt" ||
    echo "SKIPPED: python/requirements-stack.txt cannot be installed: the tests of MLflow, ONNX and Ray"
"$folder/bin/python" -c 'import mypy, numpy, peft, pytest, safetensors, torch, transformers; print("torch", torch.__version__)'
