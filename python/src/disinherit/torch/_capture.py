"""What goes into the heads of modules and what comes out, for the samples of loaders."""

from __future__ import annotations

import warnings
from typing import Any, Iterable, List, Mapping, Optional, Sequence, Union

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import Data, DisinheritError
from .._arguments import progress_bars
from .._capture import Capture, data_from
from .._arrays import Floats
from .._data import sample_ids
from ._heads import HeadRecorder, find_head
from ._modules import called, device_of, evaluating, moved, parted, rows_of


def capture(
    module: nn.Module,
    loader: Iterable[Any],
    *,
    labels: Sequence[str],
    head: Optional[str] = None,
    heldout: Optional[Iterable[Any]] = None,
    ids: Optional[Sequence[str]] = None,
    heldout_ids: Optional[Sequence[str]] = None,
    progress: bool = False,
) -> Capture:
    """Run a module once over a loader and keep what goes into its head and what comes out.

    ``labels`` are the names of the labels, in the order of the head's rows. ``heldout`` is a second loader,
    of samples that the module was not trained on: alpha is chosen on the first, and judged on both. ``ids`` name
    the samples of ``loader``, ``heldout_ids`` those of ``heldout``; those without ids are numbered.

    A head that runs on each position of a sample is taken at the position that the module gives back (the last
    token's, say). Where it gives back all, each position is a sample with a label of its own; those with
    a label below 0 are left out.

    Where the module gives back something else than its head makes, as with the mean of two heads,
    a head that was found is refused; one that was named is taken, with a ``UserWarning``.
    """
    name = head or find_head(module, len(labels))

    def doubt(reason: str) -> None:
        if head is None:
            raise DisinheritError(f"{reason}; name the layer with `head=` if it is to be dampened nevertheless")
        warnings.warn(reason, stacklevel=2)

    features: List[Floats] = []
    logits: List[Floats] = []
    targets: List[NDArray[np.int64]] = []
    counts: List[int] = []
    device = device_of(module)
    shown = progress_bars(progress)
    with torch.inference_mode(), evaluating(module), HeadRecorder(module, name, doubt) as seen:
        for part in (loader, heldout):
            before = sum(map(len, targets))
            bar = shown("capturing", len(part)) if shown and hasattr(part, "__len__") else None  # type: ignore[arg-type]
            for batch in part or ():
                inputs, wanted = parted(batch)
                called(module, moved(inputs, device))
                given, made = seen.rows()
                wanted = torch.as_tensor(wanted).to(given.device)
                if wanted.numel() != len(given):
                    raise DisinheritError(f"a batch has {wanted.numel()} labels for {len(given)} samples")
                if wanted.dim() > 1:
                    known = wanted.flatten() >= 0
                    given, made, wanted = given[known], made[known], wanted.flatten()[known]
                features.append(rows_of(given))
                logits.append(rows_of(made))
                targets.append(wanted.cpu().numpy().astype(np.int64).reshape(-1))
                if bar is not None:
                    bar.update(1)
            if bar is not None:
                bar.close()
            counts.append(sum(map(len, targets)) - before)
    if not targets:
        raise DisinheritError("the loader gave no samples")
    marks = None
    if heldout is not None:
        marks = np.repeat([False, True], counts)
    # An error here is about what was just seen; the numbering itself is left to the data.
    sample_ids("", (counts[0], counts[1]), ids, heldout_ids)
    return Capture(
        head=name,
        features=np.concatenate(features),
        logits=np.concatenate(logits),
        labels=np.concatenate(targets),
        label_names=[str(label) for label in labels],
        ids=None if ids is None else [str(sample) for sample in ids],
        heldout_ids=None if heldout_ids is None else [str(sample) for sample in heldout_ids],
        heldout=marks,
    )


def data_of(captures: Union[Capture, Mapping[str, Capture]], name: str = "features") -> Data:
    """Deprecated: :func:`data_from`."""
    warnings.warn("`data_of` is now `data_from`", DeprecationWarning, stacklevel=2)
    return data_from(captures, name)
