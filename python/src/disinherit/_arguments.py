"""What is handed to the engine, as dataclasses that it reads by their attributes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from .results import Relation, Request, Training

PathLike = Union[str, "os.PathLike[str]"]
Labels = Union[str, Sequence[str]]


def listed(names: Labels) -> List[str]:
    """One name or several, as a list."""
    return [names] if isinstance(names, str) else [str(name) for name in names]


def request(
    classes: Optional[Labels],
    source: Optional[str],
    samples: Optional[Iterable[str]],
    initial: Labels = (),
) -> Request:
    """A request from a method's arguments."""
    return Request(
        classes=None if classes is None else listed(classes),
        source=source,
        samples=None if samples is None else [str(sample) for sample in samples],
        initial=listed(initial),
    )


def patterns(layers: Optional[Labels]) -> Optional[str]:
    """Layers as the engine reads them."""
    return None if layers is None else ",".join(listed(layers))


def relation(how: Union[str, Relation]) -> Relation:
    """A relation from ``fine_tune``, ``federated_average=0.5`` and so on."""
    if isinstance(how, Relation):
        return how
    kind, _, weight = how.partition("=")
    return Relation(kind, float(weight) if weight else None)


def parents_of(
    parents: Union[str, Sequence[str], Mapping[str, Union[str, Relation]]],
) -> List[Tuple[str, Relation]]:
    """Parents with their relations."""
    if isinstance(parents, Mapping):
        return [(parent, relation(how)) for parent, how in parents.items()]
    return [(parent, Relation("fine_tune")) for parent in listed(parents)]


def trainings(
    trained_on: Union[None, str, Training, Sequence[Training]],
    labels: Optional[Sequence[str]] = None,
    samples: Optional[Iterable[str]] = None,
    provider: Optional[str] = None,
) -> List[Training]:
    """What a model was trained on, from a method's arguments."""
    if isinstance(trained_on, str):
        trained_on = Training(
            trained_on,
            labels=None if labels is None else [str(label) for label in labels],
            samples=None if samples is None else [str(sample) for sample in samples],
            source=provider,
        )
    if isinstance(trained_on, Training):
        return [trained_on]
    return list(trained_on or ())


@dataclass(frozen=True)
class Options:
    """How a request is done: the options of :meth:`disinherit.Registry.unlearn`."""

    alpha: Optional[float] = None
    rule: bool = False
    lambda_: Optional[float] = None
    raw: bool = False
    merge_scale: Optional[float] = None
    target_forget: Optional[float] = None
    target_loss: Optional[float] = None
    accept_loss: Optional[float] = None
    layers: Optional[str] = None
    estimator: Optional[str] = None
    jobs: int = 0
    dry_run: bool = False
    dampen_only: bool = False
    depth: str = "auto"
    last_stage: bool = True
    activations: bool = True
    method: Optional[str] = None
    shard: Optional[str] = None


@dataclass(frozen=True)
class NewModel:
    """What is said of a new model."""

    name: str
    labels: Optional[List[str]] = None
    head: Optional[str] = None
    architecture: Optional[str] = None
    input: Optional[Tuple[int, int, int]] = None
    parents: List[Tuple[str, Relation]] = field(default_factory=list)
    trained_on: List[Training] = field(default_factory=list)
    untied: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A model for :meth:`disinherit.Registry.add_all`: the arguments of :meth:`disinherit.Registry.add`.

    ``source`` is a ``torch.nn.Module`` or a mapping of names to tensors or arrays.
    """

    name: str
    source: Any
    labels: Optional[Sequence[str]] = None
    head: Optional[str] = None
    architecture: Optional[str] = None
    input: Optional[Tuple[int, int, int]] = None
    parents: Union[str, Sequence[str], Mapping[str, Union[str, Relation]]] = ()
    trained_on: Union[None, str, Training, Sequence[Training]] = None
    untied: bool = False

    def _described(self) -> NewModel:
        """What is said of it, as the engine reads it."""
        return NewModel(
            name=self.name,
            labels=None if self.labels is None else [str(label) for label in self.labels],
            head=self.head,
            architecture=self.architecture,
            input=self.input,
            parents=parents_of(self.parents),
            trained_on=trainings(self.trained_on),
            untied=self.untied,
        )


@dataclass(frozen=True)
class NewVertex:
    """What is said of a new model of a graph without weights."""

    name: str
    parents: List[Tuple[str, Relation]]
    time: Optional[int]
    labels: List[str]
    trained_on: List[Training]


@dataclass(frozen=True)
class TreeOptions:
    """What holds for all models of a tree."""

    labels: Optional[List[str]] = None
    head: Optional[str] = None
    architecture: Optional[str] = None
    input: Optional[Tuple[int, int, int]] = None
    trained_on: List[Training] = field(default_factory=list)
    infer_parents: Optional[float] = None
    untied: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Filing:
    """What is said of a new erasure request; times in milliseconds."""

    requester: Optional[str]
    basis: Optional[str]
    received: Optional[int]
    deadline: Optional[int]


@dataclass(frozen=True)
class Terms:
    """How an erasure request is to be carried out."""

    method: Optional[str] = None
    target_loss: float = 0.01
    accept_loss: Optional[float] = None


@dataclass(frozen=True)
class Listing:
    """Which erasure requests are listed; without states the open ones, with an empty list all."""

    states: Optional[List[str]]
    due_within: Optional[int]
    newest: bool
    limit: int
    after: Optional[int]


@dataclass(frozen=True)
class Bar:
    """What the new models of an erasure request must reach."""

    at_most: float
    deep: bool
    require: Optional[str]


def bar(title: str, total: int) -> Any:
    """A progress bar."""
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=title, leave=False)


def progress_bars(wanted: bool) -> Optional[Callable[[str, int], Any]]:
    """What makes progress bars, where they are wanted and ``tqdm`` is there."""
    if not wanted:
        return None
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return None
    return bar
