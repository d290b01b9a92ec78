"""When training data must be forgotten: make a model, and every model that inherited from it, forget.

A :class:`Registry` keeps models, who inherited from whom, and what each was trained on. Tell it what
must go, and it mends every affected model in parallel, from the Fisher information of the forget data
on the first model alone (FIUn, arXiv:2408.08493). :mod:`disinherit.torch` does the same for modules of
your own.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Protocol, Sequence, Tuple, Union

import numpy as np

from ._disinherit import Data as _Data
from ._disinherit import DisinheritError, __version__, dampen, head_fisher
from ._disinherit import Registry as _Registry

__all__ = [
    "Data",
    "DisinheritError",
    "Networks",
    "Registry",
    "__version__",
    "dampen",
    "head_fisher",
]

PathLike = Union[str, "os.PathLike[str]"]
Labels = Union[str, Sequence[str]]


def _somebody() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return "unknown"


def _bar(title: str, total: int) -> Any:
    """A progress bar, where ``tqdm`` is there; ``None`` shows nothing."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    return tqdm(total=total, desc=title, leave=False)


def _progress(wanted: bool) -> Optional[Callable[[str, int], Any]]:
    if not wanted:
        return None
    try:
        import tqdm  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        return None
    return _bar


def _listed(names: Labels) -> List[str]:
    return [names] if isinstance(names, str) else [str(name) for name in names]


class Networks(Protocol):
    """Runs models on samples that it knows by their ids, for :meth:`Data.elsewhere`.

    Every call gives all floating-point tensors of a model, by name, as arrays of ``float32``: they may be
    weights that are only tried. Calls come one at a time, though from several threads.
    """

    def inner_tensors(self, model: str, head: str) -> Sequence[str]:
        """The parameters of a model below its head that Fisher information can be computed of."""

    def capture(
        self, model: str, head: str, weights: Mapping[str, np.ndarray], ids: Sequence[str]
    ) -> Iterable[Tuple[np.ndarray, np.ndarray]]:
        """What goes into the head and what comes out, batch by batch in the order of ``ids``: ``float32``."""

    def inner_squares(
        self,
        model: str,
        head: str,
        weights: Mapping[str, np.ndarray],
        ids: Sequence[str],
        residuals: np.ndarray,
        wanted: Sequence[str],
    ) -> Iterable[Union[int, Tuple[str, np.ndarray]]]:
        """For each parameter in ``wanted`` the sum over samples of the squared gradient of ``(residuals * logits).sum()``.

        ``residuals`` is ``[samples, outputs]``. Gives the number of samples after each batch, for the progress
        bar, and at last every name with its sums, ``float64``.
        """


class Data:
    """Training and held-out samples: a data set that the engine reads, or features from arrays."""

    def __init__(self, inner: _Data) -> None:
        self._inner = inner

    @classmethod
    def open(
        cls,
        source: PathLike,
        *,
        size: Optional[Tuple[int, int]] = None,
        tokenizer: Optional[PathLike] = None,
    ) -> "Data":
        """Read ``digits`` (embedded), Parquet, a folder of images, or files of features."""
        return cls(_Data.open(os.fspath(source), size, tokenizer))

    @classmethod
    def of_features(
        cls,
        features: Union[np.ndarray, Mapping[str, np.ndarray]],
        labels: Any,
        label_names: Sequence[str],
        *,
        logits: Optional[Union[np.ndarray, Mapping[str, np.ndarray]]] = None,
        ids: Optional[Sequence[str]] = None,
        heldout: Optional[Any] = None,
        name: str = "features",
    ) -> "Data":
        """What goes into the heads of models, for samples that stay where they are.

        ``features`` is ``[samples, width]``; a mapping has one such array for each model, by its name.
        ``labels`` are indices into ``label_names``. ``heldout`` marks samples that no model was trained
        on; without it none is.
        """

        def rows(array: Any) -> np.ndarray:
            return np.ascontiguousarray(array, dtype=np.float32)

        by_model = isinstance(features, Mapping)
        known = features.items() if isinstance(features, Mapping) else [("", features)]
        tables = []
        for model, array in known:
            made = logits.get(model) if isinstance(logits, Mapping) else logits
            tables.append(
                ([model] if by_model else [], rows(array), None if made is None else rows(made))
            )
        whole = np.ascontiguousarray(labels, dtype=np.int64)
        marks = np.zeros(len(whole), bool) if heldout is None else heldout
        return cls(
            _Data.of_features(
                name,
                tables,
                whole,
                [str(label) for label in label_names],
                None if ids is None else [str(sample) for sample in ids],
                np.ascontiguousarray(marks, dtype=bool),
            )
        )

    @classmethod
    def elsewhere(
        cls,
        networks: "Networks",
        labels: Any,
        label_names: Sequence[str],
        *,
        ids: Sequence[str],
        heldout: Optional[Any] = None,
        name: str = "samples",
    ) -> "Data":
        """Samples that stay where they are, with an object that runs networks on them.

        For frameworks other than PyTorch; for PyTorch :func:`disinherit.torch.samples` makes the object. ``ids``
        names every sample, training and held out, and ``heldout`` marks the latter.
        """
        whole = np.ascontiguousarray(labels, dtype=np.int64)
        marks = np.zeros(len(whole), bool) if heldout is None else heldout
        return cls(
            _Data.elsewhere(
                name,
                whole,
                [str(label) for label in label_names],
                [str(sample) for sample in ids],
                np.ascontiguousarray(marks, dtype=bool),
                networks,
            )
        )

    @property
    def label_names(self) -> List[str]:
        """The name of each label."""
        return self._inner.label_names

    @property
    def train_ids(self) -> List[str]:
        """The ids of the training samples."""
        return self._inner.train_ids

    def __len__(self) -> int:
        return len(self._inner)

    def __repr__(self) -> str:
        return repr(self._inner)


def _relation(text: str) -> Dict[str, Any]:
    kind, _, weight = text.partition("=")
    relation: Dict[str, Any] = {"kind": kind}
    if kind == "federated_average":
        relation["weight"] = float(weight or 1.0)
    elif kind == "merged":
        relation["weight"] = float(weight) if weight else None
    elif kind == "transfer":
        relation["frozen"] = []
    return relation


class Registry:
    """Models, who inherited from whom, and what each was trained on.

    ``place`` is a folder with a registry (or a URL, such as ``s3://bucket/path``).
    """

    def __init__(self, place: PathLike = ".", *, actor: Optional[str] = None) -> None:
        self._inner = _Registry.open(os.fspath(place), actor or _somebody())

    @classmethod
    def _of(cls, inner: _Registry) -> "Registry":
        registry = cls.__new__(cls)
        registry._inner = inner
        return registry

    @classmethod
    def create(
        cls,
        place: PathLike = ".",
        *,
        catalog: Optional[str] = None,
        actor: Optional[str] = None,
    ) -> "Registry":
        """Make an empty registry; ``catalog`` is a PostgreSQL URL where it is not to be a file."""
        return cls._of(_Registry.create(os.fspath(place), catalog, actor or _somebody()))

    @classmethod
    def memory(cls) -> "Registry":
        """A registry that is gone with this object."""
        return cls._of(_Registry.memory(_somebody()))

    def add(
        self,
        name: str,
        source: Any,
        *,
        labels: Optional[Sequence[str]] = None,
        head: Optional[str] = None,
        architecture: Optional[str] = None,
        input: Optional[Tuple[int, int, int]] = None,
        parents: Union[Sequence[str], Mapping[str, str]] = (),
        trained_on: Optional[str] = None,
        trained_labels: Optional[Sequence[str]] = None,
        samples: Optional[Iterable[str]] = None,
        provider: Optional[str] = None,
        untied: bool = False,
    ) -> str:
        """Add a model and return its id, ``name@version``.

        ``source`` is a path (safetensors, ``.pt``, ONNX, a Hugging Face folder), a ``torch.nn.Module``, or a
        mapping of names to tensors or arrays. ``parents`` names those it came from, or maps each to how
        (``fine_tune``, ``federated_average=0.5``, ``transfer``, ...). ``trained_on`` names the data that it was
        trained on itself, ``samples`` their ids, ``provider`` who supplied it.
        """
        if not isinstance(parents, Mapping):
            parents = {parent: "fine_tune" for parent in _listed(parents)}
        spec: Dict[str, Any] = {
            "name": name,
            "labels": None if labels is None else [str(label) for label in labels],
            "head": head,
            "architecture": architecture,
            "input": input,
            "parents": [[parent, _relation(how)] for parent, how in parents.items()],
            "untied": untied,
        }
        if trained_on is not None:
            spec["trained_on"] = [
                {
                    "data": trained_on,
                    "labels": None if trained_labels is None else list(trained_labels),
                    "samples": None if samples is None else [str(sample) for sample in samples],
                    "source": provider,
                }
            ]
        if isinstance(source, (str, os.PathLike)):
            return self._inner.add_file(os.fspath(source), json.dumps(spec))
        return self._inner.add_tensors(_arrays(source), json.dumps(spec))

    def models(self) -> List[Dict[str, Any]]:
        """All versions: id, state, digest, labels."""
        return json.loads(self._inner.models())

    def graph(self) -> Dict[str, Any]:
        """The inheritance graph: models and edges."""
        return json.loads(self._inner.graph())

    def show(self, model: str) -> Dict[str, Any]:
        """One version: provenance, manifest, FIM cards."""
        return json.loads(self._inner.show(model))

    def log(self) -> List[Dict[str, Any]]:
        """What was done, oldest first."""
        return json.loads(self._inner.log())

    def undo(self, operation: int) -> Dict[str, Any]:
        """Take an operation back."""
        return json.loads(self._inner.undo(operation))

    def fisher(
        self,
        models: Labels,
        data: Data,
        *,
        layers: Labels = "head",
        again: bool = False,
        progress: bool = True,
    ) -> int:
        """Compute and keep FIM cards, so that classes can be forgotten later without data.

        ``layers`` is ``head``, ``all`` or patterns of tensor names; of inner layers a card keeps the FIM of all
        classes together. Returns how many were made; models that have one are passed over, unless ``again``.
        """
        wanted = ",".join(_listed(layers))
        return self._inner.fisher(_listed(models), data._inner, wanted, again, _progress(progress))

    def plan(
        self,
        *,
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        initial: Labels = (),
    ) -> Dict[str, Any]:
        """Whom a request would touch, and the work that it means."""
        return json.loads(self._inner.plan(_request(classes, source, samples, initial)))

    def unlearn(
        self,
        *,
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        initial: Labels = (),
        data: Optional[Data] = None,
        progress: bool = True,
        **options: Any,
    ) -> Dict[str, Any]:
        """Forget classes, a source or samples, in every model that is concerned.

        ``initial`` names the models that the forget data came in through; without it provenance tells.
        With FIM cards, classes need no ``data``. Options: ``alpha``, ``rule``, ``lambda_``, ``raw``,
        ``merge_scale``, ``target_forget``, ``target_loss``, ``layers``, ``estimator``, ``jobs``, ``dry_run``,
        ``dampen_only``.
        """
        if "lambda_" in options:
            options["lambda"] = options.pop("lambda_")
        if options.get("layers") is not None:
            options["layers"] = ",".join(_listed(options["layers"]))
        done = self._inner.unlearn(
            _request(classes, source, samples, initial),
            None if data is None else data._inner,
            json.dumps(options),
            _progress(progress),
        )
        return json.loads(done)

    def verify(
        self,
        data: Data,
        *,
        models: Labels = (),
        classes: Optional[Labels] = None,
        source: Optional[str] = None,
        samples: Optional[Iterable[str]] = None,
        at_most: float = 0.01,
        progress: bool = True,
    ) -> List[Dict[str, Any]]:
        """Whether models have forgotten; those of the last request, and what it forgot, when not given."""
        asked = None
        if classes is not None or source is not None or samples is not None:
            asked = _request(classes, source, samples, ())
        shown = _progress(progress)
        return json.loads(self._inner.verify(data._inner, _listed(models), asked, at_most, shown))

    def report(
        self, path: PathLike, data: Optional[Data] = None, *, progress: bool = True
    ) -> None:
        """Write the page of the last request."""
        inner = None if data is None else data._inner
        self._inner.report(os.fspath(path), inner, _progress(progress))

    def export(self, model: str, path: PathLike) -> None:
        """Write a model in the form that it came in."""
        self._inner.export(model, os.fspath(path))

    def tensors(self, model: str) -> Dict[str, Tuple[str, Tuple[int, ...], np.ndarray]]:
        """A model's tensors: type as in safetensors, shape, bytes."""
        names = self._inner.tensor_names(model)
        return {
            name: (dtype, tuple(shape), self._inner.tensor(model, name))
            for name, dtype, shape in names
        }

    def head(self, model: str) -> Tuple[np.ndarray, np.ndarray]:
        """A model's head: weight ``[outputs, inputs]`` and bias ``[outputs]``, single precision.

        Where the head has no bias, zeros stand for it.
        """
        name = self.show(model)["manifest"]["head"]
        known = {n: (dtype, shape) for n, dtype, shape in self._inner.tensor_names(model)}
        parts: List[np.ndarray] = []
        for part in ("weight", "bias"):
            if f"{name}.{part}" not in known:
                parts.append(np.zeros(len(parts[0]), np.float32))
                continue
            dtype, shape = known[f"{name}.{part}"]
            raw = self._inner.tensor(model, f"{name}.{part}")
            parts.append(_floats(dtype, raw).reshape(shape))
        return parts[0], parts[1]

    def __repr__(self) -> str:
        return repr(self._inner)


def _request(
    classes: Optional[Labels],
    source: Optional[str],
    samples: Optional[Iterable[str]],
    initial: Labels,
) -> str:
    asked: Dict[str, Any] = {"from": _listed(initial)}
    if classes is not None:
        asked["classes"] = _listed(classes)
    if source is not None:
        asked["source"] = source
    if samples is not None:
        asked["samples"] = [str(sample) for sample in samples]
    return json.dumps(asked)


_TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}


def _floats(dtype: str, raw: np.ndarray) -> np.ndarray:
    if dtype == "BF16":
        # The upper half of a single-precision number.
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    names = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
    return raw.view(names[dtype]).astype(np.float32, copy=False)


def _bytes(value: Any) -> Tuple[str, List[int], np.ndarray]:
    """Type, shape and bytes of a tensor or an array, without a copy where it is contiguous."""
    if hasattr(value, "detach"):
        import torch

        tensor = value.detach().cpu().contiguous()
        kind = str(tensor.dtype).replace("torch.", "")
        flat = tensor.reshape(-1).view(torch.uint8) if tensor.numel() else tensor.new_empty(0, dtype=torch.uint8)
        shape, raw = list(tensor.shape), flat.numpy()
    else:
        array = np.asarray(value)
        kind, shape = str(array.dtype), list(array.shape)
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if kind not in _TYPES:
        raise DisinheritError(f"tensors of the type {kind} cannot be kept")
    return _TYPES[kind], shape, raw


def _arrays(source: Any) -> List[Tuple[str, str, List[int], np.ndarray]]:
    state = source.state_dict() if hasattr(source, "state_dict") else source
    if not isinstance(state, Mapping):
        raise DisinheritError(
            f"a model is a path, a module or a mapping of names to tensors, not {type(source).__name__}"
        )
    found = []
    for name, value in state.items():
        if hasattr(value, "dtype"):
            found.append((name, *_bytes(value)))
    return found
