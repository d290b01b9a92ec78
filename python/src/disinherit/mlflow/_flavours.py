"""The weights in a folder that MLflow saved a model to: read, and replaced by those of a registry."""

from __future__ import annotations

import importlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import yaml

from .. import DisinheritError, Registry

#: What a flavour says of itself in the file ``MLmodel``.
_Said = Dict[str, Any]


@dataclass(frozen=True)
class Weights:
    """What :meth:`disinherit.Registry.add` gets of a model."""

    #: A path, or tensors by name.
    source: Any
    labels: Optional[List[str]] = None
    head: Optional[str] = None


def described(folder: Path) -> _Said:
    """The file ``MLmodel`` of a folder."""
    file = folder / "MLmodel"
    if not file.is_file():
        raise DisinheritError("it has no file `MLmodel`")
    return dict(yaml.safe_load(file.read_text()))


def _of_sklearn(folder: Path, said: _Said) -> Weights:
    import mlflow.sklearn

    from ..sklearn import label_names, tensors

    estimator = mlflow.sklearn.load_model(str(folder))
    return Weights(tensors(estimator), label_names(estimator), "head")


def _into_sklearn(folder: Path, said: _Said, registry: Registry, model: str) -> None:
    import mlflow.sklearn

    from ..sklearn import load

    estimator = mlflow.sklearn.load_model(str(folder))
    load(registry, model, estimator)
    file, form = folder / said["pickled_model"], said.get("serialization_format", "pickle")
    if form == "skops":
        import skops.io

        skops.io.dump(estimator, file)
        return
    with file.open("wb") as out:
        importlib.import_module(form).dump(estimator, out)


def _of_pytorch(folder: Path, said: _Said) -> Weights:
    import mlflow.pytorch

    return Weights(mlflow.pytorch.load_model(str(folder)).state_dict())


def _into_pytorch(folder: Path, said: _Said, registry: Registry, model: str) -> None:
    import mlflow.pytorch
    import torch

    from ..torch import state_dict

    # This checks what it reads; a graph is then opened as the file that it is.
    module = mlflow.pytorch.load_model(str(folder))
    new, data = state_dict(registry, model), folder / said["model_data"]
    graph = data / "model.pt2"
    if graph.exists():
        program = torch.export.load(graph)
        with torch.no_grad():
            for name, tensor in program.state_dict.items():
                tensor.copy_(new[name].reshape(tensor.shape))
        torch.export.save(program, graph)
        return
    module.load_state_dict(new)
    if isinstance(module, torch.jit.ScriptModule):
        torch.jit.save(module, data / "model.pth")
        return
    pickles = importlib.import_module((data / "pickle_module_info.txt").read_text().strip())
    torch.save(module, data / "model.pth", pickle_module=pickles)


def _of_transformers(folder: Path, said: _Said) -> Weights:
    if "peft_adaptor" in said:
        raise DisinheritError("it is an adapter, whose base model MLflow does not keep")
    path = folder / str(said.get("model_binary"))
    if not path.is_dir():
        raise DisinheritError("MLflow keeps no weights of it, only where they came from: log it with `save_pretrained=True`")
    return Weights(path)


def _into_transformers(folder: Path, said: _Said, registry: Registry, model: str) -> None:
    path = folder / said["model_binary"]
    shutil.rmtree(path)
    registry.export(model, path)


def _of_onnx(folder: Path, said: _Said) -> Weights:
    return Weights(folder / said["data"])


def _into_onnx(folder: Path, said: _Said, registry: Registry, model: str) -> None:
    made = folder / "exported"
    made.mkdir()
    registry.export(model, made / said["data"])
    for file in made.iterdir():
        file.replace(folder / file.name)
    made.rmdir()


#: How weights are read and replaced; the first flavour that a model has is taken.
_FLAVOURS: Dict[str, Tuple[Callable[..., Weights], Callable[..., None]]] = {
    "transformers": (_of_transformers, _into_transformers),
    "sklearn": (_of_sklearn, _into_sklearn),
    "pytorch": (_of_pytorch, _into_pytorch),
    "onnx": (_of_onnx, _into_onnx),
}


def _flavour(folder: Path) -> Tuple[str, _Said]:
    flavours = described(folder).get("flavors", {})
    for name in _FLAVOURS:
        if name in flavours:
            return name, dict(flavours[name])
    raise DisinheritError(f"its flavours ({', '.join(flavours)}) are none of {', '.join(_FLAVOURS)}")


def read(folder: Path) -> Weights:
    """The weights of a model."""
    name, said = _flavour(folder)
    return _FLAVOURS[name][0](folder, said)


def replace(folder: Path, registry: Registry, model: str) -> None:
    """Put the weights of a registry's model in the place of a folder's; every other file stays."""
    name, said = _flavour(folder)
    _FLAVOURS[name][1](folder, said, registry, model)
