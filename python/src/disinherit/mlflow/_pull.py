"""Versions of an MLflow server come into a registry."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mlflow.exceptions import MlflowException

from .. import DisinheritError, Registry
from .._arguments import Labels, listed
from .._record import Record
from ..results import Relation, Training
from ._flavours import read
from ._lineage import Lineage, Parents, Trainings, ordered
from ._server import Server, Version, known_models


@dataclass(frozen=True)
class PulledVersion(Record):
    """One version that was added."""

    #: ``NAME/VERSION`` in MLflow, and the id in the registry.
    uri: str
    model: str
    #: By id, each with the relation.
    parents: List[Tuple[str, Relation]]
    #: Where the parents are known from: ``mapping``, ``tag``, ``run`` (its inputs), ``copy`` or ``nothing``.
    evidence: str
    trained_on: List[Training]


@dataclass(frozen=True)
class Left(Record):
    """A version that was left out."""

    uri: str
    reason: str


@dataclass(frozen=True)
class _Heads:
    """What the caller says of heads."""

    labels: Union[None, Sequence[str], Mapping[str, Sequence[str]]]
    head: Optional[str]

    def names(self, version: Version) -> Optional[Sequence[str]]:
        """The names of the rows of a version's head, where they were said."""
        return self.labels.get(version.name) if isinstance(self.labels, Mapping) else self.labels


@dataclass(frozen=True)
class Pulled(Record):
    """What :func:`pull` found."""

    #: Parents before children.
    added: List[PulledVersion]
    left_out: List[Left]
    #: Versions that were in the registry before.
    known: int
    #: What should be known of the lineage, in words.
    notes: List[str]


def pull(
    tracking_uri: str,
    registry: Registry,
    *,
    names: Optional[Labels] = None,
    labels: Union[None, Sequence[str], Mapping[str, Sequence[str]]] = None,
    head: Optional[str] = None,
    parents: Optional[Parents] = None,
    trained_on: Optional[Trainings] = None,
    registry_uri: Optional[str] = None,
    dry_run: bool = False,
) -> Pulled:
    """Add the registered versions that a registry does not have yet, each as a model ``NAME/VERSION``.

    ``names`` are those of registered models; all of them when not given. ``labels`` names the head's rows, for all
    or by registered model; without it the tag ``disinherit.labels`` (a JSON list, on version or run) or the model
    says. ``parents`` and ``trained_on`` say of a ``NAME/VERSION`` what MLflow does not know, or wrongly. Nothing is
    written to MLflow. Models are read as MLflow reads them: those that it kept as a pickle run the pickle's code.
    """
    server = Server(tracking_uri, registry_uri)
    versions = server.versions()
    wanted = None if names is None else set(listed(names))
    unknown = (wanted or set()) - {version.name for version in versions}
    if unknown:
        raise DisinheritError(f"MLflow has no registered model `{sorted(unknown)[0]}` with a version")
    known = known_models(registry, versions)
    superseded = {model.id for model in registry.models() if model.state != "current"}
    heads = _Heads(labels, head)
    lineage = Lineage(server, versions, parents, trained_on)
    chosen = [version for version in versions if wanted is None or version.name in wanted]
    new = [version for version in chosen if version.uri not in known]
    found = {version.uri: lineage.parents(version) for version in new}
    added: List[PulledVersion] = []
    left: List[Left] = []
    for version in ordered(new, {uri: pairs for uri, (pairs, _) in found.items()}):
        pairs, evidence = found[version.uri]
        for parent, _ in pairs:
            if parent.uri not in known:
                lineage.notes.append(f"{version.uri} came from {parent.uri}, which is not in the registry: what that learnt cannot be forgotten here")
            elif known[parent.uri] in superseded:
                lineage.notes.append(f"{version.uri} came from {parent.uri}, which was replaced since: it has what that was made to forget; ask for it again")
        edges = {known[parent.uri]: how for parent, how in pairs if parent.uri in known}
        try:
            trained = lineage.trainings(version)
            model = f"{version.model}@1" if dry_run else _add(server, registry, version, lineage, heads, edges)
        except (DisinheritError, MlflowException, ImportError, AttributeError) as error:
            left.append(Left(version.uri, str(error)))
            continue
        known[version.uri] = model
        added.append(PulledVersion(version.uri, model, list(edges.items()), evidence, trained))
    return Pulled(added, left, len(chosen) - len(new), lineage.notes)


def _add(
    server: Server, registry: Registry, version: Version, lineage: Lineage, heads: _Heads, edges: Dict[str, Relation]
) -> str:
    if version.tag("purged") is not None:
        raise DisinheritError(f"its files were deleted: {version.tag('purged')}")
    with tempfile.TemporaryDirectory(prefix="disinherit-") as place:
        weights = read(server.download(version, Path(place)))
        return registry.add(
            version.model,
            weights.source,
            labels=heads.names(version) or lineage.labels(version) or weights.labels,
            head=heads.head or weights.head,
            parents=edges,
            trained_on=lineage.trainings(version),
        )
