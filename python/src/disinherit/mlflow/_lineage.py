"""What MLflow knows of a version's lineage: a mapping of the user's own, tags, a run's inputs, copies."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union

from .. import DisinheritError
from .._arguments import listed, parents_of, relation
from ..results import Relation, Training
from ._server import TAG, Server, Version

#: Parents as in :meth:`disinherit.Registry.add`, by ``NAME/VERSION``.
Parents = Mapping[str, Union[str, Sequence[str], Mapping[str, Union[str, Relation]]]]
#: What versions were trained on themselves, by ``NAME/VERSION``.
Trainings = Mapping[str, Union[str, Training, Sequence[Training]]]

#: What contexts of a run's data sets are called that are no training.
_NOT_TRAINING = ("eval", "test", "valid", "infer", "predict", "monitor")


class Lineage:
    """The parents of versions, and what these were trained on themselves."""

    def __init__(
        self, server: Server, versions: Sequence[Version], parents: Optional[Parents], trained_on: Optional[Trainings]
    ) -> None:
        self.server = server
        self.by_uri = {version.uri: version for version in versions}
        #: The first version of each logged model: later ones are copies of it.
        self.by_model: Dict[str, Version] = {}
        for version in versions:
            if version.model_id:
                self.by_model.setdefault(version.model_id, version)
        self.own_parents = self._named(parents or {}, "parents")
        self.own_training = self._named(trained_on or {}, "trained_on")
        self.notes: List[str] = []

    def _named(self, given: Mapping[str, Any], argument: str) -> Dict[str, Any]:
        named = {uri.replace("models:/", "", 1): value for uri, value in given.items()}
        for uri in named:
            if uri not in self.by_uri:
                raise DisinheritError(f"`{argument}=` names `{uri}`, which MLflow does not have: give NAME/VERSION")
        return named

    def parents(self, version: Version) -> Tuple[List[Tuple[Version, Relation]], str]:
        """A version's parents, and where they are known from: ``mapping``, ``tag``, ``run``, ``copy`` or ``nothing``."""
        if version.uri in self.own_parents:
            return self._of_words(version, parents_of(self.own_parents[version.uri])), "mapping"
        words = self._tag(version, "parents")
        if words is not None:
            pairs = [part.strip().partition(":") for part in words.replace("models:/", "").split(",") if part.strip()]
            return self._of_words(version, [(uri, relation(how or "fine_tune")) for uri, _, how in pairs]), "tag"
        origin = self._copied(version)
        if origin is not None:
            return [(origin, Relation("merged", 1.0))], "copy"
        found: Dict[str, Version] = {}
        for model_id in self._inputs(version.run_id):
            for parent in self._registered(model_id, version, set()):
                found[parent.uri] = parent
        return [(parent, Relation("fine_tune")) for parent in found.values()], "run" if found else "nothing"

    def trainings(self, version: Version) -> List[Training]:
        """What a version was trained on itself, as its run says."""
        if version.uri in self.own_training:
            given = self.own_training[version.uri]
            if isinstance(given, Training):
                return [given]
            return [Training(name) for name in listed(given)] if isinstance(given, str) else list(given)
        if self._copied(version) is not None:
            return []
        source = self._tag(version, "source")
        words = self._tag(version, "trained_on")
        if words is not None:
            names = [name.strip() for name in words.split(",") if name.strip()]
        else:
            names = self._data_sets(version.run_id, version, set())
        labels = self.labels(version, "trained_labels")
        return [Training(name, labels=labels, source=source) for name in dict.fromkeys(names)]

    def labels(self, version: Version, key: str = "labels") -> Optional[List[str]]:
        """Names of labels as a tag has them: of the head's rows, or of those that a version was trained on itself."""
        words = self._tag(version, key)
        if words is None:
            return None
        try:
            found = json.loads(words)
        except ValueError:
            found = None
        if not isinstance(found, list):
            raise DisinheritError(f"the tag `{TAG}{key}` of {version.uri} is no JSON list: {words}")
        return [str(name) for name in found]

    def _tag(self, version: Version, key: str) -> Optional[str]:
        """A tag of ours, on a version or on its run."""
        value = version.tag(key)
        run = self.server.run(version.run_id)
        return run.data.tags.get(TAG + key) if value is None and run is not None else value

    def _of_words(self, version: Version, given: Sequence[Tuple[str, Relation]]) -> List[Tuple[Version, Relation]]:
        found = []
        for words, how in given:
            uri = words.replace("models:/", "", 1)
            if uri in self.by_uri:
                found.append((self.by_uri[uri], how))
            else:
                self.notes.append(f"{version.uri} names `{uri}` as its parent, which MLflow does not have as NAME/VERSION")
        return found

    def _copied(self, version: Version) -> Optional[Version]:
        """The version that this one is a copy of: the same files under another name."""
        path = version.source[len("models:/") :] if version.source.startswith("models:/") else ""
        if path in self.by_uri and path != version.uri:
            return self.by_uri[path]
        first = self.by_model.get(version.model_id or "")
        return None if first is None or first.uri == version.uri else first

    def _inputs(self, run_id: Optional[str]) -> List[str]:
        run = self.server.run(run_id)
        inputs = None if run is None else run.inputs
        return [] if inputs is None else [str(given.model_id) for given in inputs.model_inputs]

    def _registered(self, model_id: str, child: Version, seen: Set[str]) -> List[Version]:
        """The versions that a logged model stands for: its own, or where it was never registered those it came from."""
        if model_id in seen or model_id == child.model_id:
            return []
        seen.add(model_id)
        if model_id in self.by_model:
            return [self.by_model[model_id]]
        model = self.server.logged_model(model_id)
        if model is None:
            self.notes.append(f"{child.uri} came from the model {model_id}, which MLflow has no more: what that learnt is not on record")
            return []
        above = [
            version
            for further in self._inputs(model.source_run_id)
            for version in self._registered(further, child, seen)
        ]
        if not above:
            self.notes.append(f"{child.uri} came from `{model.name}` ({model_id}), which is not registered; its data counts as that of {child.uri}")
        return above

    def _data_sets(self, run_id: Optional[str], child: Version, seen: Set[str]) -> List[str]:
        """The data sets that a run read for training, and those of unregistered models that it went on from."""
        run = self.server.run(run_id)
        if run is None or run_id is None or run_id in seen:
            return []
        seen.add(run_id)
        names = []
        for given in [] if run.inputs is None else run.inputs.dataset_inputs:
            contexts = [tag.value.lower() for tag in given.tags if tag.key == "mlflow.data.context"]
            if not any(context.startswith(_NOT_TRAINING) for context in contexts):
                names.append(str(given.dataset.name))
        for model_id in self._inputs(run_id):
            if model_id not in self.by_model and model_id != child.model_id:
                model = self.server.logged_model(model_id)
                names.extend([] if model is None else self._data_sets(model.source_run_id, child, seen))
        return names


def ordered(versions: Sequence[Version], parents: Mapping[str, Sequence[Tuple[Version, Relation]]]) -> List[Version]:
    """Parents before children."""
    done: Dict[str, Version] = {}
    open_: List[str] = []

    def visit(version: Version) -> None:
        if version.uri in done:
            return
        if version.uri in open_:
            circle = " -> ".join([*open_[open_.index(version.uri) :], version.uri])
            raise DisinheritError(f"by what MLflow has on record versions come from each other in a circle: {circle}; say otherwise with `parents=`")
        open_.append(version.uri)
        for parent, _ in parents.get(version.uri, ()):
            if parent.uri in parents:
                visit(parent)
        open_.pop()
        done[version.uri] = version

    for version in versions:
        visit(version)
    return list(done.values())
