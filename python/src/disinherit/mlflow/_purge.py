"""The files of replaced versions are deleted from an MLflow server for good."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

from .. import DisinheritError, Registry
from .._arguments import Labels, listed
from .._record import Record
from ._server import Server, Version, known_models


@dataclass(frozen=True)
class PurgedVersion(Record):
    """One version whose files were deleted, or in a dry run would be."""

    #: ``NAME/VERSION``.
    uri: str
    #: Where the files lay.
    place: str
    files: int
    bytes: int


@dataclass(frozen=True)
class PurgedVersions(Record):
    """What :func:`purge` deleted."""

    versions: List[PurgedVersion]
    #: Replaced versions whose files stay, each with the reason.
    left: List[Tuple[str, str]]
    #: What MLflow keeps all the same, in words.
    kept: List[str]


def purge(
    tracking_uri: str,
    registry: Registry,
    *,
    reason: str,
    versions: Optional[Labels] = None,
    registry_uri: Optional[str] = None,
    dry_run: bool = False,
) -> PurgedVersions:
    """Delete the files of versions that :func:`push` has replaced, or that a request retired.

    ``versions`` are ``NAME/VERSION``; all such versions when not given. The versions, their runs and metrics stay on
    record, with the tag ``disinherit.purged``. A version that an alias points to, or whose files are those of a
    version in use, is left alone. :meth:`disinherit.Registry.purge` does the same in the registry.
    """
    if not reason.strip():
        raise DisinheritError("`reason=` is empty: the record says why something was deleted")
    server = Server(tracking_uri, registry_uri)
    every = server.versions()
    known = known_models(registry, every)
    superseded = {model.id for model in registry.models() if model.state != "current"}
    out = [
        version
        for version in every
        if known.get(version.uri) in superseded and (version.tag("replaced_by") or version.tag("retired") is not None)
    ]
    if versions is not None:
        wanted = [uri.replace("models:/", "", 1) for uri in listed(versions)]
        named = {version.uri: version for version in out}
        for uri in wanted:
            if uri not in named:
                raise DisinheritError(f"`{uri}` is no version that was replaced or retired: push first")
        out = [named[uri] for uri in dict.fromkeys(wanted)]
    left: List[Tuple[str, str]] = []
    chosen: List[Version] = []
    for version in (version for version in out if version.tag("purged") is None):
        names = server.aliases(version)
        if names:
            left.append((version.uri, f"the alias `{names[0]}` points to it: move or delete the alias first"))
        else:
            chosen.append(version)
    done = _delete(server, chosen, every, reason, dry_run, left)
    return PurgedVersions(done, left, _kept(server, chosen, done))


def _delete(
    server: Server, chosen: List[Version], every: List[Version], reason: str, dry_run: bool, left: List[Tuple[str, str]]
) -> List[PurgedVersion]:
    places = {version.uri: server.place(version) for version in every}
    going = {version.uri for version in chosen}
    done: List[PurgedVersion] = []
    for version in chosen:
        place = places[version.uri]
        others = [uri for uri, other in places.items() if uri not in going and _overlap(place, other)]
        if others:
            left.append((version.uri, f"its files are also those of {others[0]}, which is in use"))
            continue
        store = server.files(place)
        files = _files(store)
        done.append(PurgedVersion(version.uri, place, len(files), sum(size for _, size in files)))
        if dry_run:
            continue
        if files:
            store.delete_artifacts()
        if files and _files(store):
            raise DisinheritError(f"the files of {version.uri} are still at {place} after MLflow deleted them: look at the rights of its store")
        now = datetime.datetime.now(datetime.timezone.utc)
        server.tag(version, purged=f"{now:%Y-%m-%d %H:%M:%S} UTC: {reason}")
    return done


def _overlap(one: str, other: str) -> bool:
    """Whether one place is the other, or inside it."""
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _files(store: Any, path: Optional[str] = None) -> List[Tuple[str, int]]:
    """All files of a store, with their sizes."""
    found: List[Tuple[str, int]] = []
    for item in store.list_artifacts(path):
        found.extend(_files(store, item.path) if item.is_dir else [(item.path, item.file_size or 0)])
    return found


def _kept(server: Server, chosen: List[Version], done: List[PurgedVersion]) -> List[str]:
    """What is not deleted."""
    if not done:
        return []
    gone = {version.uri for version in done}
    kept = [
        f"the records of {', '.join(sorted(gone))}: numbers, tags, runs, parameters, metrics, and the names and schemas of data sets"
    ]
    runs = {version.run_id: version.uri for version in chosen if version.uri in gone and server.run(version.run_id) is not None}
    for run_id, uri in runs.items():
        run = server.run(run_id)
        files = _files(server.files(run.info.artifact_uri)) if run is not None else []
        if files:
            kept.append(f"{len(files)} other files of the run {run_id}, which made {uri}: {', '.join(name for name, _ in files[:5])}")
    kept.append("what was downloaded or served from these versions, and backups of the artifact store")
    return kept
