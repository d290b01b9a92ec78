"""Edited models of a registry become versions of an MLflow server."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import yaml
from mlflow.entities import LoggedModel, LoggedModelInput, LoggedModelOutput

from .. import DisinheritError, Registry
from .._arguments import Labels, PathLike, listed
from .._record import Record
from ..results import Edge, Graph, Operation, Verdict
from ._flavours import described, replace
from ._server import TAG, Server, Version, known_models


@dataclass(frozen=True)
class PushedVersion(Record):
    """One version that was registered."""

    #: The id in the registry, and ``NAME/VERSION`` in MLflow.
    model: str
    uri: str
    #: The version that it replaces.
    replaces: str
    #: The aliases that were moved to it.
    aliases: List[str]
    #: The run that its metrics and artifacts belong to.
    run_id: str


@dataclass(frozen=True)
class Pushed(Record):
    """What :func:`push` did."""

    versions: List[PushedVersion]
    #: Versions that are out of use and that nothing replaces, ``NAME/VERSION``.
    retired: List[str]
    #: What should be looked at, in words.
    notes: List[str]


def push(
    tracking_uri: str,
    registry: Registry,
    *,
    models: Optional[Labels] = None,
    verdicts: Sequence[Verdict] = (),
    certificate: Optional[PathLike] = None,
    aliases: bool = True,
    registry_uri: Optional[str] = None,
) -> Pushed:
    """Register the versions that requests made of pulled models, and that MLflow does not have yet.

    ``models`` names them; all of them when not given. A new version is the one that it replaces, file by file, with
    other weights: flavour, signature, requirements and examples stay. Aliases move to it, tags link both, and its run
    has the judgement of ``verdicts`` as metrics, the entry of the registry's log and the ``certificate`` (a file that
    ``disinherit certify`` wrote) as artifacts.
    """
    server = Server(tracking_uri, registry_uri)
    versions = server.versions()
    known = known_models(registry, versions)
    by_model = {known[version.uri]: version for version in versions if version.uri in known}
    wanted = None if models is None else {registry.show(model).model.id for model in listed(models)}
    judged = {verdict.model: verdict for verdict in verdicts}
    graph, log = registry.graph(), registry.log()
    done: List[PushedVersion] = []
    notes: List[str] = []
    for edge in _edited(graph):
        if edge.child in by_model or (wanted is not None and edge.child not in wanted):
            continue
        old = by_model.get(edge.parent)
        if old is None:
            if edge.parent.endswith("@1") and wanted is not None:
                raise DisinheritError(f"`{edge.parent}` did not come from this MLflow: only versions that were pulled can be pushed back")
            continue
        if old.tag("purged") is not None:
            notes.append(f"{edge.child} was not pushed: the files of {old.uri}, which it would replace, were deleted")
            continue
        change = _Change(registry, edge, old, _operation(log, edge.child), judged.get(edge.child), certificate, notes)
        new = _push_one(server, change)
        by_model[edge.child] = new
        moved = server.aliases(old) if aliases else []
        for alias in moved:
            server.client.set_registered_model_alias(new.name, alias, str(new.number))
        if judged and edge.child not in judged:
            notes.append(f"{edge.child} has no verdict among those given: its version has no metrics")
        done.append(PushedVersion(edge.child, new.uri, old.uri, moved, str(new.run_id)))
    return Pushed(done, _mark_retired(server, graph, log, by_model, notes), notes)


@dataclass(frozen=True)
class _Change:
    """What is known of one new version."""

    registry: Registry
    edge: Edge
    old: Version
    operation: Optional[Operation]
    verdict: Optional[Verdict]
    certificate: Optional[PathLike]
    #: What should be looked at is added here.
    notes: List[str]


def _edited(graph: Graph) -> List[Edge]:
    """From what was replaced to what replaces it, the oldest first; nothing that was replaced or purged itself."""
    current = {model.id for model in graph.models if model.state == "current"}
    edges = [edge for edge in graph.edges if edge.relation.kind == "unlearned_from" and edge.child in current]
    times = {model.id: (model.time, model.version) for model in graph.models}
    return sorted(edges, key=lambda edge: times[edge.child])


def _operation(log: Sequence[Operation], model: str) -> Optional[Operation]:
    """The entry of the log that made a version."""
    return next((entry for entry in log if any(made == model for made, _ in entry.changes.models)), None)


def _push_one(server: Server, change: _Change) -> Version:
    old, client = change.old, server.client
    logged, origin = server.logged_model(old.model_id), server.run(old.run_id)
    request = change.edge.relation.request or ""
    experiment = logged.experiment_id if logged is not None else origin.info.experiment_id if origin is not None else "0"
    run = client.create_run(experiment, run_name=f"{change.edge.child} forgot", tags={TAG + "request": request, TAG + "model": change.edge.child})
    run_id = run.info.run_id
    try:
        new = client.create_logged_model(
            experiment,
            name=old.name if logged is None else logged.name,
            source_run_id=run_id,
            params={} if logged is None else dict(logged.params),
            model_type=None if logged is None else logged.model_type,
        )
        if old.model_id and logged is not None:
            client.log_inputs(run_id, models=[LoggedModelInput(old.model_id)])
        client.log_outputs(run_id, [LoggedModelOutput(new.model_id, 0)])
        with tempfile.TemporaryDirectory(prefix="disinherit-") as place:
            folder = server.download(old, Path(place))
            if described(folder).get("saved_input_example_info"):
                change.notes.append(f"{change.edge.child} keeps the input example of {old.uri}: see that it is none of the forgotten samples")
            replace(folder, change.registry, change.edge.child)
            _describe(folder, new, run_id)
            client.log_model_artifacts(new.model_id, str(folder))
        client.finalize_logged_model(new.model_id, "READY")
        _judge(server, change, run_id, new.model_id)
        made = client.create_model_version(
            old.name,
            f"models:/{new.model_id}",
            run_id,
            tags={
                **{key: value for key, value in old.tags.items() if not key.startswith(TAG) or key == TAG + "labels"},
                TAG + "model": change.edge.child,
                TAG + "digest": change.registry.show(change.edge.child).model.digest,
                TAG + "request": request,
                TAG + "replaces": old.uri,
                TAG + "judgement": "not judged" if change.verdict is None else change.verdict.judgement,
            },
            model_id=new.model_id,
        )
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    version = Version(old.name, int(made.version), new.model_id, run_id, made.source or "", dict(made.tags), made.creation_timestamp)
    server.tag(old, replaced_by=version.uri, model=change.edge.parent)
    return version


def _describe(folder: Path, model: LoggedModel, run_id: str) -> None:
    """Say in the file ``MLmodel`` which model and run it is of now."""
    said = described(folder)
    said.update(
        artifact_path=model.artifact_location,
        model_id=model.model_id,
        model_uuid=model.model_id,
        run_id=run_id,
        utc_time_created=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
    )
    (folder / "MLmodel").write_text(yaml.safe_dump(said, sort_keys=False))


def _judge(server: Server, change: _Change, run_id: str, model_id: str) -> None:
    """The judgement as metrics, the log's entry and the certificate as artifacts."""
    client = server.client
    for name, value in ({} if change.verdict is None else metrics(change.verdict)).items():
        client.log_metric(run_id, name, value, model_id=model_id)
    if change.operation is not None:
        client.log_dict(run_id, json.loads(json.dumps(change.operation.to_dict())), "disinherit/operation.json")
    if change.certificate is not None:
        client.log_artifact(run_id, str(change.certificate), "disinherit")


def metrics(verdict: Verdict) -> Dict[str, float]:
    """The numbers of a verdict, by name."""
    found: Dict[str, Any] = {
        "forget_train": verdict.scores.forget.train,
        "forget_heldout": verdict.scores.forget.heldout,
        "retain_train": verdict.scores.retain.train,
        "retain_heldout": verdict.scores.retain.heldout,
        "passed": None if verdict.passed is None else float(verdict.passed),
    }
    if verdict.samples is not None:
        found["membership_area"] = verdict.samples.area
    if verdict.inside is not None:
        for name in ("probe", "inner_probe", "reset", "area", "fitted"):
            estimate = getattr(verdict.inside, name)
            found[f"inside_{name}"] = None if estimate is None else estimate.mean
    return {f"disinherit_{name}": float(value) for name, value in found.items() if value is not None}


def _mark_retired(
    server: Server, graph: Graph, log: Sequence[Operation], by_model: Dict[str, Version], notes: List[str]
) -> List[str]:
    """Tag the versions that a request took out of use without a successor."""
    replaced = {edge.parent for edge in graph.edges if edge.relation.kind == "unlearned_from"}
    retired = []
    for model in graph.models:
        version = by_model.get(model.id)
        if version is None or model.state == "current" or model.id in replaced:
            continue
        retired.append(version.uri)
        if version.tag("retired") is None:
            entry = next((entry for entry in log if model.id in entry.changes.superseded), None)
            server.tag(version, retired="" if entry is None else f"operation {entry.id}", model=model.id)
        for alias in server.aliases(version):
            notes.append(f"{version.uri} is out of use, and nothing replaces it, but the alias `{alias}` still points to it")
    return retired
