"""The metadata of a model card: the YAML between its first two lines of dashes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from .. import DisinheritError, Registry

#: What the Hub calls a relation; whatever goes on training is `finetune`.
_RELATIONS = {
    "adapter": "adapter",
    "quantised": "quantized",
    "merged": "merge",
    "federated_average": "merge",
    "distributed_average": "merge",
}


class Metadata:
    """The metadata of one card. What is set changes its own lines; the others stay as they are."""

    def __init__(self, file: Path, card: str) -> None:
        self.file = file
        found = re.match(r"\ufeff?\s*---[ \t]*\n(.*?)^---[ \t]*$\n?", card, re.M | re.S)
        self._start, self._text, self._rest = (
            ("", "", card) if found is None else (card[: found.start(1)], found.group(1), card[found.end(1) :])
        )
        self._changed = False

    def values(self) -> Dict[str, Any]:
        """What it says."""
        import yaml

        try:
            found = yaml.safe_load(self._text)
        except yaml.YAMLError as error:
            raise DisinheritError(f"{self.file}: its metadata cannot be read: {error}") from error
        return found if isinstance(found, dict) else {}

    def base_models(self) -> List[str]:
        """The base models that it names."""
        base = self.values().get("base_model")
        return [base] if isinstance(base, str) else [str(name) for name in base or []]

    def set(self, key: str, value: Any) -> None:
        """Say this, in the place of what was said under the key before or at the end."""
        import yaml

        line = yaml.safe_dump({key: value}, allow_unicode=True, width=float("inf"))
        before = re.compile(rf"^{key}[ \t]*:.*\n(?:(?:[ \t]+|-[ \t]).*\n)*", re.M)
        self._text, count = before.subn(lambda _: line, self._text, count=1)
        if count == 0:
            self._text += line
        if self.values().get(key) != value:
            raise DisinheritError(f"{self.file}: `{key}` cannot be set in its metadata; write `{line.strip()}` there")
        self._changed = True

    def card(self) -> str:
        """The whole card."""
        if self._changed and not self._start:
            return f"---\n{self._text}---\n{self._rest}"
        return f"{self._start}{self._text}{self._rest}"


def relate(metadata: Metadata, folder: Path, inherited: Tuple[List[str], List[str]]) -> None:
    """Say what the model was made from and how, where no base model is named, and that no whole network is an adapter.

    ``inherited`` are the names of its parents, and the kinds of its relations to them.
    """
    names, kinds = inherited
    adapter = (folder / "adapter_config.json").exists()
    if names and not metadata.base_models():
        metadata.set("base_model", names[0] if len(names) == 1 else names)
        if metadata.values().get("base_model_relation") is None:
            metadata.set("base_model_relation", "adapter" if adapter else _relation(kinds))
    if not adapter:
        _whole(metadata, folder)


def _relation(kinds: Sequence[str]) -> str:
    """One word for all relations: a merge is one of all parents."""
    words = {_RELATIONS.get(kind, "finetune") for kind in kinds}
    return "merge" if "merge" in words else words.pop() if len(words) == 1 else "finetune"


def _whole(metadata: Metadata, folder: Path) -> None:
    """Take back what a card says of an adapter that was merged into the whole network since."""
    said = metadata.values()
    if said.get("base_model_relation") == "adapter":
        metadata.set("base_model_relation", "finetune")
    tags = said.get("tags")
    if isinstance(tags, list) and any(str(tag).startswith("base_model:adapter:") for tag in tags):
        metadata.set("tags", [tag for tag in tags if not str(tag).startswith("base_model:adapter:")])
    if said.get("library_name") == "peft" and (folder / "config.json").exists():
        metadata.set("library_name", "transformers")


def inherited(registry: Registry, model: str, repositories: Mapping[str, str]) -> Tuple[List[str], List[str]]:
    """The parents of a version and of those that it replaced, by repository where that is known, and the kinds of relation."""
    graph = registry.graph()
    found: Dict[str, str] = {}
    versions = [model]
    for version in versions:
        for edge in graph.parents(version):
            if edge.relation.kind == "unlearned_from":
                versions.append(edge.parent)
                continue
            name = edge.parent.rpartition("@")[0]
            found.setdefault(repositories.get(name, name), edge.relation.kind)
    return list(found), list(found.values())
