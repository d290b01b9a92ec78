"""What goes into the heads of models and what comes out, as :mod:`disinherit.torch` and :mod:`disinherit.sklearn` keep it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Union

import numpy as np
from numpy.typing import NDArray

from ._arrays import Floats
from ._data import Data, sample_ids
from ._disinherit import DisinheritError


@dataclass
class Capture:
    """What a model makes of samples: the input and the output of its head.

    Rows are samples: training samples, then held-out ones, which ``heldout`` marks.
    """

    head: str
    #: ``[samples, width]``
    features: Floats
    #: ``[samples, outputs]``
    logits: Floats
    #: Indices into ``label_names``.
    labels: NDArray[np.int64]
    label_names: List[str]
    #: Of the training samples.
    ids: Optional[List[str]] = None
    #: Of the held-out samples.
    heldout_ids: Optional[List[str]] = None
    heldout: Optional[NDArray[np.bool_]] = None

    def __len__(self) -> int:
        return len(self.labels)

    def save(self, path: Any, model: Optional[str] = None) -> None:
        """Write a file of features, which :meth:`disinherit.Data.open` reads (needs ``safetensors``)."""
        from safetensors.numpy import save_file

        tensors: Dict[str, NDArray[Any]] = {"features": self.features, "logits": self.logits, "labels": self.labels}
        if self.heldout is not None:
            tensors["heldout"] = self.heldout.astype(np.uint8)
        metadata = {"labels": json.dumps(self.label_names)}
        if model is not None:
            metadata["model"] = model
        held = 0 if self.heldout is None else int(self.heldout.sum())
        ids = sample_ids("features", (len(self) - held, held), self.ids, self.heldout_ids)
        if ids is not None:
            metadata["ids"] = json.dumps(ids)
        save_file(tensors, str(path), metadata)


def data_from(captures: Union[Capture, Mapping[str, Capture]], name: str = "features") -> Data:
    """Captures as data: one for a model alone, or one for each model of a family, by its name.

    Those of a family are of the same samples in the same order.
    """
    if isinstance(captures, Capture):
        first, features, logits = captures, captures.features, captures.logits
        return Data.from_features(
            features,
            first.labels,
            first.label_names,
            logits=logits,
            ids=first.ids,
            heldout_ids=first.heldout_ids,
            heldout=first.heldout,
            name=name,
        )
    if not captures:
        raise DisinheritError("there are no captures")
    first = next(iter(captures.values()))
    for model, other in captures.items():
        if not np.array_equal(other.labels, first.labels):
            raise DisinheritError(
                f"the capture of `{model}` is of other samples, or in another order: use a loader that "
                f"does not shuffle"
            )
    return Data.from_features(
        {model: made.features for model, made in captures.items()},
        first.labels,
        first.label_names,
        logits={model: made.logits for model, made in captures.items()},
        ids=first.ids,
        heldout_ids=first.heldout_ids,
        heldout=first.heldout,
        name=name,
    )
