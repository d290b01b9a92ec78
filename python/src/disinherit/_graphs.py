"""The inheritance graph: models, edges, and whom a request touches; public as :mod:`disinherit.results`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional

from ._record import Record


@dataclass(frozen=True)
class Training(Record):
    """Data that a model was trained on itself, not through its parents."""

    #: The name of the data.
    data: str
    #: The labels that occurred; for a new model ``None`` stands for all of its labels.
    labels: Optional[List[str]] = None
    #: The ids of the samples, where they were recorded in clear. Of more than 1,000 only
    #: :meth:`~disinherit.Registry.show` gives them.
    samples: Optional[List[str]] = None
    #: Who supplied the data.
    source: Optional[str] = None
    #: The share of the data, for instance ``client-1``.
    split: Optional[str] = None
    #: The digest of the data.
    digest: Optional[str] = None
    #: Whether every sample of the data was seen.
    all_samples: bool = False
    #: How many samples there are, where they were recorded.
    sample_count: Optional[int] = field(default=None, compare=False)
    #: Whether only hashes of their ids are kept.
    hashed_samples: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Model(Record):
    """One version of a model."""

    #: ``name@version``.
    id: str
    name: str
    version: int
    #: ``current``, ``superseded`` or ``purged``.
    state: str
    digest: str
    #: The label names of the head's rows.
    labels: List[str]
    training: List[Training]
    time: int


@dataclass(frozen=True)
class Vertex(Record):
    """One version of a model as the graph alone knows it."""

    #: ``name@version``.
    id: str
    name: str
    version: int
    time: int
    #: The label names of its outputs, where they are known.
    labels: List[str]
    #: What it was trained on itself.
    training: List[Training]
    #: Whether a later version replaces it.
    superseded: bool


@dataclass(frozen=True)
class Relation(Record):
    """How a model came from a parent."""

    #: ``fine_tune``, ``incremental``, ``transfer``, ``federated_average``, ``distributed_average``,
    #: ``distilled``, ``merged``, ``quantised``, ``adapter`` or ``unlearned_from``.
    kind: str
    #: The parent's share of an average or a merge.
    weight: Optional[float] = None
    #: The tensors that a transfer did not train.
    frozen: List[str] = field(default_factory=list)
    #: The request after which an unlearned version was made.
    request: Optional[str] = None


@dataclass(frozen=True)
class Edge(Record):
    """An edge of the inheritance graph."""

    parent: str
    child: str
    relation: Relation


@dataclass(frozen=True)
class Graph(Record):
    """The inheritance graph."""

    models: List[Model]
    edges: List[Edge]

    def parents(self, model: str) -> List[Edge]:
        """The edges that lead to a version."""
        return [edge for edge in self.edges if edge.child == model]

    def children(self, model: str) -> List[Edge]:
        """The edges that go out from a version."""
        return [edge for edge in self.edges if edge.parent == model]


@dataclass(frozen=True)
class Scope(Record):
    """Whom a request touches."""

    #: The models that were trained on the forget data themselves, or were named so.
    initial: List[str]
    #: Their descendants.
    inherited: List[str]
    #: For every touched model the initial models that reach it, itself if it is one.
    reached_by: Dict[str, List[str]]

    def role(self, model: str) -> str:
        """``initial``, ``inherited`` or ``untouched``."""
        if model in self.initial:
            return "initial"
        return "inherited" if model in self.reached_by else "untouched"
