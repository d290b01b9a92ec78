"""What a registry gives back: frozen dataclasses, comparable, with :meth:`Record.to_dict`.

Times are in milliseconds since 1970-01-01 UTC, digests hexadecimal BLAKE3, accuracies between 0 and 1
(``None`` where there is nothing to measure).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from ._edits import (
    AlphaChoice,
    InnerEdit,
    InnerTrial,
    LogitSuppression,
    LossBound,
    MatchedSamples,
    MeasuredLoss,
    ModelLoss,
    RetiredModel,
    TensorEdit,
    Trial,
)
from ._record import Record
from ._verdicts import (
    Accuracy,
    Estimate,
    Inside,
    Interval,
    Reference,
    SampleVerdict,
    Scores,
    Verdict,
    Weakest,
)

__all__ = [
    "Accuracy",
    "AlphaChoice",
    "Changes",
    "Damage",
    "Edge",
    "Estimate",
    "Garbage",
    "Graph",
    "Health",
    "ImportNote",
    "Imported",
    "ImportedModel",
    "InnerEdit",
    "InnerTrial",
    "Inside",
    "Interval",
    "LogitSuppression",
    "LossBound",
    "Manifest",
    "MeasuredLoss",
    "MatchedSamples",
    "Model",
    "ModelDetails",
    "ModelLoss",
    "Needs",
    "Operation",
    "Outcome",
    "ParentEvidence",
    "Plan",
    "Purged",
    "Record",
    "Reference",
    "Relation",
    "Request",
    "RetiredModel",
    "SampleVerdict",
    "Scores",
    "Stage",
    "Task",
    "TensorEdit",
    "TensorInfo",
    "Training",
    "Trial",
    "Undone",
    "Unlearned",
    "Verdict",
    "Weakest",
]


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
class ParentEvidence(Record):
    """Where a model's parents are known from."""

    #: ``model_card``, ``adapter`` or ``weights``.
    source: str
    #: Of weights: how sure the proposal is, 0 to 1.
    confidence: Optional[float] = None
    #: Of weights: the share of parameters that are the same, 0 to 1.
    shared: Optional[float] = None
    #: Of weights: the distance of the others, in units of their norm.
    distance: Optional[float] = None


@dataclass(frozen=True)
class ImportedModel(Record):
    """One model that an import adds."""

    name: str
    path: str
    #: The format of its files, in words.
    format: str
    #: The family of its network; ``head`` where only its head is known.
    network: str
    head: str
    labels: List[str]
    #: By name or id, each with the relation.
    parents: List[Tuple[str, Relation]]
    evidence: Optional[ParentEvidence]


@dataclass(frozen=True)
class ImportNote(Record):
    """What should be known of an import: ``left_out``, ``reader``, ``unknown_base`` or ``doubtful``, in words."""

    kind: str
    text: str


@dataclass(frozen=True)
class Imported(Record):
    """What an import found."""

    #: The versions that were added; none in a dry run.
    added: List[str]
    #: The models, parents before children.
    models: List[ImportedModel]
    notes: List[ImportNote]


@dataclass(frozen=True)
class TensorInfo(Record):
    """A tensor of a model: type as in safetensors, shape, digest of its bytes."""

    dtype: str
    shape: List[int]
    digest: str


@dataclass(frozen=True)
class Manifest(Record):
    """What a version consists of."""

    #: The name of the head, without ``.weight`` and ``.bias``.
    head: str
    #: The label names of the head's rows.
    labels: List[str]
    tensors: Dict[str, TensorInfo]
    #: The network, as it is stored.
    architecture: Optional[Dict[str, Any]]
    #: How inputs are prepared, as it is stored.
    preprocessing: Optional[Dict[str, Any]]
    #: The format of the file that the model came in, as it is stored.
    format: Optional[Any]
    #: Digests of whatever else that file held, by name.
    documents: Dict[str, str]


@dataclass(frozen=True)
class ModelDetails(Record):
    """One version, what it consists of, and the estimators of its FIM cards."""

    model: Model
    manifest: Manifest
    cards: List[str]


@dataclass(frozen=True)
class Request(Record):
    """What must be forgotten: one of classes, a source and samples."""

    classes: Optional[List[str]] = None
    source: Optional[str] = None
    samples: Optional[List[str]] = None
    #: The initial models that were named; without any, provenance tells.
    initial: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task(Record):
    """A piece of work.

    ``card`` computes a model's own FIM card, ``forget_fisher`` the Fisher information of the forget data on an
    initial model, ``edit`` merges, selects and dampens in one model, ``retire`` takes a model out of use that was
    trained on nothing but the forget data.
    """

    kind: str
    model: str
    #: The initial models whose FIMs are merged, for an edit.
    initial: List[str]
    #: What is read: ``card``, ``training_data``, ``forget_data``; for an edit nothing but what is there, or
    #: ``training_data`` where it goes below the head.
    reads: Optional[str]
    #: The version whose card an edit uses in place of one of its own.
    fallback_card: Optional[str]


@dataclass(frozen=True)
class Stage(Record):
    """Tasks that may all run at the same time."""

    purpose: str
    tasks: List[Task]


@dataclass(frozen=True)
class Needs(Record):
    """What the work of a plan reads besides the registry."""

    #: Models whose training data is needed: without a FIM card for these layers, or whose features are edited.
    training_data: List[str]
    #: Initial models that the forget data must be run through.
    forget_data: List[str]
    #: Models that have no card of their own, with the version whose card is used instead.
    fallback_cards: Dict[str, str]


@dataclass(frozen=True)
class Shard(Record):
    """The part of a plan that one of several processes does: :meth:`disinherit.Registry.unlearn_shard`."""

    #: ``3/40`` is the third of forty.
    shard: str
    models: List[str]
    #: Bytes of weights that its tasks read, once for each sample that they are run on.
    cost: int


@dataclass(frozen=True)
class ShardDone(Record):
    """What a process did of a request that several work on. Nothing of it is published yet."""

    request: str
    #: ``3/40`` is the third of forty.
    shard: str
    #: The models of this shard; the edits of all of them are kept for the process that publishes.
    models: List[str]
    #: How many of them this process edited.
    edited: int
    #: How many were finished already.
    taken_up: int
    seconds: float


@dataclass(frozen=True)
class Plan(Record):
    """Which models a request touches, and the work that it means."""

    request: Request
    #: ``initial`` or ``inherited``, for each touched model.
    roles: Dict[str, str]
    #: To be run one after the other.
    stages: List[Stage]
    #: How the work falls to several processes, where that was asked for.
    shards: List[Shard] = field(default_factory=list)

    @property
    def needs(self) -> Needs:
        """What the tasks read besides the registry."""
        tasks = [task for stage in self.stages for task in stage.tasks]
        return Needs(
            training_data=list(dict.fromkeys(task.model for task in tasks if task.reads == "training_data")),
            forget_data=[task.model for task in tasks if task.reads == "forget_data"],
            fallback_cards={task.model: task.fallback_card for task in tasks if task.fallback_card is not None},
        )

    @property
    def initial(self) -> List[str]:
        """The models that the forget data came in through."""
        return [model for model, role in self.roles.items() if role == "initial"]

    @property
    def inherited(self) -> List[str]:
        """The models that descend from those."""
        return [model for model, role in self.roles.items() if role == "inherited"]

    @property
    def retired(self) -> List[str]:
        """The models that would be taken out of use."""
        return [task.model for stage in self.stages for task in stage.tasks if task.kind == "retire"]


@dataclass(frozen=True)
class Outcome(Record):
    """What happened to one model."""

    before: str
    after: str
    #: ``initial`` or ``inherited``.
    role: str
    #: The initial models whose FIMs were merged.
    initial: List[str]
    digest_before: str
    #: ``None`` in a dry run.
    digest_after: Optional[str]
    #: ``None`` for methods that do not dampen.
    alpha: Optional[float]
    lambda_: Optional[float]
    choice: Optional[AlphaChoice]
    tensors: Dict[str, TensorEdit]
    #: Labels that no initial model has; their rows stayed as they were.
    unmatched: List[str]
    #: The version whose FIM card was used instead of one of its own.
    fallback_card: Optional[str]
    #: What was done below the head; ``None`` where that was not asked for.
    inner: Optional[InnerEdit]
    #: What that cost in accuracy on the retained data; ``None`` where it was not measured.
    loss: Optional[MeasuredLoss]
    #: How single samples were brought to the certainty of unseen ones; ``None`` for other methods.
    matched: Optional[MatchedSamples]
    seconds: float

    @property
    def changed(self) -> int:
        """Parameters that changed, in all tensors."""
        return sum(tensor.changed for tensor in self.tensors.values())


@dataclass(frozen=True)
class Unlearned(Record):
    """A finished request."""

    request: str
    method: str
    #: The number in the log; ``None`` in a dry run.
    operation: Optional[int]
    models: List[Outcome]
    #: Models that were trained on nothing but the forget data: superseded, and nothing replaces them.
    retired: List[RetiredModel]
    loss_bound: LossBound
    seconds: float
    warnings: List[str]


@dataclass(frozen=True)
class Changes(Record):
    """What an operation changed in the catalog."""

    #: New versions with their digests.
    models: List[Tuple[str, str]]
    superseded: List[str]
    #: New FIM cards: the digest of the model, the estimator.
    cards: List[Tuple[str, str]]
    #: Versions that became current again.
    restored: List[str]
    #: Versions that were taken out.
    removed: List[str]
    #: Versions whose weights were deleted.
    purged: List[str]


@dataclass(frozen=True)
class Operation(Record):
    """An entry of the log."""

    id: int
    time: int
    actor: str
    command: str
    #: What was done, as it is stored.
    detail: Any
    changes: Changes
    #: The hash of the entry before; empty for the first.
    previous: str
    hash: str


@dataclass(frozen=True)
class Undone(Record):
    """An operation that was taken back."""

    operation: int
    undone: int
    removed: List[str]
    restored: List[str]


@dataclass(frozen=True)
class Purged(Record):
    """What was deleted, or in a dry run would be."""

    operation: Optional[int]
    #: The versions with their digests, which stay on record.
    models: List[Tuple[str, str]]
    cards: int
    objects: int
    bytes: int
    #: Objects of these versions that others share, and that therefore stay.
    shared: int
    #: Entries of the feature cache.
    features: int


@dataclass(frozen=True)
class Garbage(Record):
    """What was cleared away, or in a dry run would be."""

    objects: int
    bytes: int
    #: Files of writes that were cut short.
    files: int
    #: Finished tasks of requests that were never published.
    drafts: int
    #: Objects on shared storage that are too young to tell.
    young: int


@dataclass(frozen=True)
class Damage(Record):
    """Something that is not what it was."""

    what: str
    models: List[str]
    #: How it was repaired, if it was.
    repaired: Optional[str]


@dataclass(frozen=True)
class Health(Record):
    """What a check found."""

    models: int
    cards: int
    operations: int
    objects: int
    bytes: int
    #: Objects that nothing speaks of.
    garbage: int
    damages: List[Damage]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong any more."""
        return all(damage.repaired is not None for damage in self.damages)
