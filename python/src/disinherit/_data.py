"""Data: sets that the engine reads, features from arrays, and external samples."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, List, Optional, Protocol, Sequence, Tuple, Union

from ._arguments import PathLike
from ._disinherit import Data as _Data
from ._disinherit import DisinheritError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._arrays import Floats


class Networks(Protocol):
    """Runs models on external samples, which it knows by their ids, for :meth:`Data.external`.

    Every call gives all floating-point tensors of a model, by name, as arrays of ``float32``: they may be
    weights that are only tried. Calls come one at a time, though from several threads.
    """

    def inner_tensors(self, model: str, head: str) -> Sequence[str]:
        """The parameters of a model below its head that Fisher information can be computed of."""

    def capture(
        self, model: str, head: str, weights: Mapping[str, Floats], ids: Sequence[str]
    ) -> Iterable[Tuple[Floats, Floats]]:
        """What goes into the head and what comes out, batch by batch in the order of ``ids``: ``float32``."""

    def inner_squares(
        self,
        model: str,
        head: str,
        weights: Mapping[str, Floats],
        ids: Sequence[str],
        residuals: Floats,
        wanted: Sequence[str],
    ) -> Iterable[Union[int, Tuple[str, NDArray[np.float64]]]]:
        """For each parameter in ``wanted`` the sum over samples of the squared gradient of ``(residuals * logits).sum()``.

        ``residuals`` is ``[samples, outputs]``. Gives the number of samples after each batch, for the progress
        bar, and at last every name with its sums, ``float64``.
        """


@dataclass(frozen=True)
class PenultimateLayer:
    """The last linear layer or convolution before the features, and what becomes of its output.

    Before the next non-linearity the output, times ``scale`` by channel, is added to something: to a shortcut, to a
    bias. The sum is the *stream*.
    """

    #: The names of the layer's weight and, where it has one of its own, of its bias.
    weight: str
    bias: Optional[str]
    #: Of the batch norm behind it the name of the bias, and the factor between the layer's output and what that is
    #: added to, by channel.
    shift: Optional[Tuple[str, Floats]]
    #: The factor between the layer's output and the stream, by channel; 0 for a channel that is as good as off.
    scale: Floats
    #: Kernel, stride and padding of a convolution that looks through a square window; ``(1, 1, 0)`` of a linear layer.
    window: Tuple[int, int, int]
    #: Whether the weight is ``[inputs, outputs]``.
    transposed: bool = False


class DeepNetworks(Networks, Protocol):
    """Networks whose penultimate layer can be edited too, for ``depth="features"``."""

    def penultimate(
        self, model: str, head: str, weights: Mapping[str, Floats], ids: Sequence[str]
    ) -> Iterable[Union[str, PenultimateLayer, Tuple[Floats, Floats]]]:
        """The penultimate layer; then batch by batch in the order of ``ids`` what it reads, and the stream.

        Both are ``[samples, height, width, channels]``, ``float32``, the stream at every position that the layer's
        window has on what it reads. Or a reason in words why it cannot be edited, and nothing after it.
        """


def sample_ids(
    name: str,
    counts: Tuple[int, int],
    ids: Optional[Sequence[str]],
    heldout_ids: Optional[Sequence[str]],
) -> Optional[List[str]]:
    """The ids of training samples and of held-out ones after them, or ``None`` where none is given.

    ``counts`` are how many there are of each. Where only one kind has ids, the others are numbered.
    """
    for argument, given, count, what in (
        ("ids", ids, counts[0], "training"),
        ("heldout_ids", heldout_ids, counts[1], "held-out"),
    ):
        if given is not None and len(given) != count:
            other = "; held-out samples have theirs in `heldout_ids=`" if argument == "ids" else ""
            raise DisinheritError(
                f"`{argument}=` has {len(given)} ids for {count} {what} samples: give one for each{other}"
            )
    if ids is None and heldout_ids is None:
        return None
    made = [f"{name}/{row:06}" for row in range(counts[0])] if ids is None else [str(one) for one in ids]
    if heldout_ids is None:
        return made + [f"{name}/heldout/{row:06}" for row in range(counts[1])]
    return made + [str(one) for one in heldout_ids]


class Data:
    """Training and held-out samples: a data set that the engine reads, features from arrays, or external samples."""

    def __init__(self, inner: _Data) -> None:
        self._inner = inner

    @classmethod
    def open(
        cls,
        source: PathLike,
        *,
        size: Optional[Tuple[int, int]] = None,
        tokenizer: Optional[PathLike] = None,
    ) -> Data:
        """Read ``digits`` (embedded), Parquet, a folder of images, or files of features."""
        return cls(_Data.open(os.fspath(source), size, tokenizer))

    @classmethod
    def from_features(
        cls,
        features: Union[NDArray[Any], Mapping[str, NDArray[Any]]],
        labels: Any,
        label_names: Sequence[str],
        *,
        logits: Optional[Union[NDArray[Any], Mapping[str, NDArray[Any]]]] = None,
        ids: Optional[Sequence[str]] = None,
        heldout_ids: Optional[Sequence[str]] = None,
        heldout: Optional[Any] = None,
        name: str = "features",
    ) -> Data:
        """What goes into the heads of models, for samples that stay where they are.

        ``features`` is ``[samples, width]``; a mapping has one such array for each model, by its name.
        ``labels`` are indices into ``label_names``. ``heldout`` marks samples that no model was trained
        on; without it none is. ``ids`` name the training samples and ``heldout_ids`` the held-out ones, each in
        the order in which they stand in the arrays; those without ids are numbered.
        """

        import numpy as np

        def rows(array: Any) -> Floats:
            return np.ascontiguousarray(array, dtype=np.float32)

        by_model = isinstance(features, Mapping)
        known = features.items() if isinstance(features, Mapping) else [("", features)]
        tables: List[Tuple[List[str], Floats, Optional[Floats]]] = []
        for model, array in known:
            made = logits.get(model) if isinstance(logits, Mapping) else logits
            tables.append(([model] if by_model else [], rows(array), None if made is None else rows(made)))
        whole, marks = _marked(labels, heldout)
        placed = _placed(name, marks, ids, heldout_ids)
        return cls(_Data.from_features(name, tables, whole, [str(label) for label in label_names], placed, marks))

    @classmethod
    def external(
        cls,
        networks: Networks,
        labels: Any,
        label_names: Sequence[str],
        *,
        ids: Optional[Sequence[str]] = None,
        heldout_ids: Optional[Sequence[str]] = None,
        heldout: Optional[Any] = None,
        name: str = "samples",
    ) -> Data:
        """External samples: they stay where they are, with an object that runs networks on them.

        For frameworks other than PyTorch; for PyTorch :func:`disinherit.torch.samples` makes the object.
        ``heldout`` marks samples that no model was trained on. ``ids`` name the training samples and
        ``heldout_ids`` the held-out ones, each in the order in which they stand in ``labels``; it is by these
        ids that ``networks`` is asked.
        """
        whole, marks = _marked(labels, heldout)
        placed = _placed(name, marks, ids, heldout_ids)
        if placed is None:
            raise DisinheritError("external samples are known by their ids: give `ids=` (and `heldout_ids=`)")
        return cls(_Data.external(name, whole, [str(label) for label in label_names], placed, marks, networks))

    @classmethod
    def of_features(cls, *args: Any, **kwargs: Any) -> Data:
        """Deprecated: :meth:`from_features`."""
        warnings.warn("`Data.of_features` is now `Data.from_features`", DeprecationWarning, stacklevel=2)
        return cls.from_features(*args, **kwargs)

    @classmethod
    def elsewhere(cls, *args: Any, **kwargs: Any) -> Data:
        """Deprecated: :meth:`external`."""
        warnings.warn("`Data.elsewhere` is now `Data.external`", DeprecationWarning, stacklevel=2)
        return cls.external(*args, **kwargs)

    @property
    def name(self) -> str:
        """The name of the data set, by which models say that they were trained on it."""
        return self._inner.name

    @property
    def label_names(self) -> List[str]:
        """The name of each label."""
        return self._inner.label_names

    @property
    def train_ids(self) -> List[str]:
        """The ids of the training samples."""
        return self._inner.train_ids

    @property
    def heldout_ids(self) -> List[str]:
        """The ids of the held-out samples."""
        return self._inner.heldout_ids

    def __len__(self) -> int:
        return len(self._inner)

    def __repr__(self) -> str:
        return repr(self._inner)


def _marked(labels: Any, heldout: Optional[Any]) -> Tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels, and which samples are held out."""
    import numpy as np

    whole = np.ascontiguousarray(labels, dtype=np.int64)
    marks = np.zeros(len(whole), bool) if heldout is None else np.ascontiguousarray(heldout, dtype=bool)
    if marks.shape != whole.shape:
        raise DisinheritError(f"`heldout=` has {marks.size} marks for {whole.size} labels: give one for each")
    return whole, marks


def _placed(
    name: str,
    marks: NDArray[np.bool_],
    ids: Optional[Sequence[str]],
    heldout_ids: Optional[Sequence[str]],
) -> Optional[List[str]]:
    """Ids of all samples, each where its sample stands."""
    counts = (int((~marks).sum()), int(marks.sum()))
    made = sample_ids(name, counts, ids, heldout_ids)
    if made is None:
        return None
    train, heldout = iter(made[: counts[0]]), iter(made[counts[0] :])
    return [next(heldout) if mark else next(train) for mark in marks]
