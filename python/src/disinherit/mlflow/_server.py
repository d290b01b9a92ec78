"""An MLflow server: its registered versions, their runs and files, and which models of a registry they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from .. import DisinheritError, Registry

#: The names of the tags that link versions with models of a registry, and by which lineage can be told.
TAG = "disinherit."


@dataclass(frozen=True)
class Version:
    """A registered version."""

    name: str
    number: int
    model_id: Optional[str]
    run_id: Optional[str]
    source: str
    tags: Dict[str, str]
    created: int

    @property
    def uri(self) -> str:
        """``NAME/VERSION``, as after ``models:/``."""
        return f"{self.name}/{self.number}"

    @property
    def model(self) -> str:
        """The name that it gets in a registry: what MLflow allows and a registry does not becomes ``_``."""
        return re.sub(r"[^\w./-]|\.\.", "_", self.uri).lstrip("./-")

    def tag(self, key: str) -> Optional[str]:
        """A tag of ours."""
        return self.tags.get(TAG + key)


class Server:
    """The client of an MLflow server, and what it was asked before."""

    def __init__(self, tracking_uri: str, registry_uri: Optional[str] = None) -> None:
        self.tracking_uri = tracking_uri
        self.client = MlflowClient(tracking_uri, registry_uri)
        self._runs: Dict[str, Optional[Run]] = {}

    def versions(self) -> List[Version]:
        """All versions that are ready, oldest first; prompts are none."""
        found: List[Any] = []
        token = None
        while True:
            page = self.client.search_model_versions(page_token=token)
            found.extend(page)
            token = page.token
            if not token:
                break
        versions = [
            Version(
                each.name,
                int(each.version),
                each.model_id or _model_id(each.source or "") or self._output(each.source or ""),
                each.run_id or None,
                each.source or "",
                dict(each.tags),
                each.creation_timestamp,
            )
            for each in found
            if each.status == "READY" and "mlflow.prompt.is_prompt" not in each.tags
        ]
        return sorted(versions, key=lambda version: (version.created, version.name, version.number))

    def run(self, run_id: Optional[str]) -> Optional[Run]:
        """A run; ``None`` where there is none, or none any more."""
        if not run_id:
            return None
        if run_id not in self._runs:
            self._runs[run_id] = _found(lambda: self.client.get_run(run_id))
        return self._runs[run_id]

    def logged_model(self, model_id: Optional[str]) -> Any:
        """A logged model; ``None`` where there is none, or none any more."""
        return _found(lambda: self.client.get_logged_model(model_id)) if model_id else None

    def _output(self, source: str) -> Optional[str]:
        """The logged model that a source ``runs:/RUN/NAME`` means: the run's output of that name, the last one as for MLflow."""
        found = re.fullmatch(r"runs:/+([^/]+)/(.+?)/*", source)
        run = None if found is None else self.run(found.group(1))
        if found is None or run is None or run.outputs is None:
            return None
        models = [self.logged_model(output.model_id) for output in run.outputs.model_outputs]
        named = [model for model in models if model is not None and model.name == found.group(2)]
        return str(max(named, key=lambda model: model.creation_timestamp).model_id) if named else None

    def aliases(self, version: Version) -> List[str]:
        """The aliases that point to a version."""
        named = self.client.get_registered_model(version.name).aliases
        return [alias for alias, number in named.items() if int(number) == version.number]

    def place(self, version: Version) -> str:
        """Where a version's files lie."""
        place: str = self.client.get_model_version_download_uri(version.name, str(version.number))
        if place.startswith("models:/m-"):
            model = self.logged_model(place[len("models:/") :].split("/")[0])
            place = place if model is None else str(model.artifact_location)
        elif place.startswith("runs:/"):
            run_id, _, path = place[len("runs:/") :].partition("/")
            model, run = self.logged_model(version.model_id), self.run(run_id)
            if model is not None:
                place = str(model.artifact_location)
            elif run is not None:
                place = f"{run.info.artifact_uri}/{path}"
        return place.rstrip("/")

    def files(self, place: str) -> Any:
        """The store of files at a place."""
        return get_artifact_repository(place, tracking_uri=self.tracking_uri)

    def download(self, version: Version, into: Path) -> Path:
        """A version's files, in a folder."""
        place = self.place(version)
        return Path(download_artifacts(artifact_uri=place, dst_path=str(into), tracking_uri=self.tracking_uri))

    def tag(self, version: Version, **tags: str) -> None:
        """Put tags of ours on a version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(version.name, str(version.number), TAG + key, value)


def _model_id(source: str) -> Optional[str]:
    """The logged model whose files a source is, where its name says so."""
    found = re.search(r"\bm-[0-9a-f]{32}\b", source)
    return None if found is None else found.group()


def _found(ask: Any) -> Any:
    try:
        return ask()
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def known_models(registry: Registry, versions: Iterable[Version]) -> Dict[str, str]:
    """Of each version that is in a registry the model's id there, by the version's URI.

    A version that :func:`push` made names its model and the digest, since another registry may have
    pushed it; others have the first version of their name.
    """
    ids = {model.id: model.digest for model in registry.models()}
    known: Dict[str, str] = {}
    names: Dict[str, str] = {}
    for version in versions:
        pushed = version.tag("model")
        if pushed is not None and version.tag("digest") in (None, ids.get(pushed)) and pushed in ids:
            known[version.uri] = pushed
            continue
        other = names.setdefault(version.model, version.uri)
        if other != version.uri:
            raise DisinheritError(f"`{other}` and `{version.uri}` would both be `{version.model}`: rename one of them in MLflow")
        if f"{version.model}@1" in ids:
            known[version.uri] = f"{version.model}@1"
    return known
