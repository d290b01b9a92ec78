"""The section of a model card that says what was unlearned."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, List, Optional, Sequence

from .. import DisinheritError, Registry
from .._arguments import PathLike
from ..certificates import contents
from ..results import Operation, Verdict

_TITLE = "## Unlearned"

_JUDGEMENTS = {
    "recognised": "it still recognises the forgotten data",
    "not_measured": "not measured",
    "outputs": "its outputs no longer name the forgotten data",
    "features": "its features hold no more of the forgotten data than those of a model that never knew it",
    "indistinguishable": "its training samples of the forgotten data cannot be told from others",
    "retrained_baseline": "it was retrained without the forgotten data",
}


def section(
    registry: Registry,
    model: str,
    *,
    verdicts: Sequence[Verdict] = (),
    certificate: Optional[PathLike] = None,
) -> str:
    """The section in Markdown: every request that a model went through, oldest first.

    What was asked, by which method, when, the judgement where ``verdicts`` have one of the current version, the digests
    and that of the ``certificate``. Single samples are counted, not named.
    """
    version = registry.show(model).model
    entries = _history(registry, version.id)
    if not entries:
        raise DisinheritError(f"`{version.id}` was not made by a request to forget: there is nothing to say in its card")
    judged = {verdict.model: verdict for verdict in verdicts}
    lines = [_TITLE, ""]
    for entry in entries:
        after = next(made for made in _made(entry) if made.rpartition("@")[0] == version.name)
        when = datetime.fromtimestamp(entry.time / 1000, timezone.utc).strftime("%Y-%m-%d")
        lines.append(f"- **{when}**: {_asked(entry.detail['request'])}")
        lines.append(f"  - request `{entry.detail['id']}`, method `{entry.detail.get('method', 'fiun')}`")
        lines.append(f"  - weights: BLAKE3 `{dict(entry.changes.models)[after]}` (`{after}`)")
        if after in judged:
            lines.append(f"  - judgement: {_JUDGEMENTS[judged[after].judgement]}")
    if certificate is not None:
        digest = hashlib.sha256(contents(certificate)).hexdigest()
        lines.append(f"- certificate `{os.path.basename(os.fspath(certificate))}`: SHA-256 `{digest}`")
    return "\n".join([*lines, ""])


def write_card(
    registry: Registry,
    model: str,
    folder: PathLike,
    *,
    repository: Optional[str] = None,
    verdicts: Sequence[Verdict] = (),
    certificate: Optional[PathLike] = None,
) -> str:
    """Write the section into the model card (``README.md``) of an exported folder, and return it.

    A section from before is replaced; everything else stays as it is. Where the metadata names the ``repository``
    itself as ``base_model``, which would make it its own parent, the card is refused.
    """
    file = Path(folder) / "README.md"
    if not Path(folder).is_dir():
        raise DisinheritError(f"{folder} is no folder: export the model there first")
    card = file.read_text(encoding="utf-8") if file.exists() else ""
    if repository is not None and repository in _base_models(card):
        raise DisinheritError(
            f"{file} names `{repository}` as its own `base_model`: an edited version goes on under the same name, and "
            "what it was made from is what the version before was made from; correct `base_model`"
        )
    text = section(registry, model, verdicts=verdicts, certificate=certificate)
    before = re.search(rf"^{_TITLE}[ \t]*$.*?(?=^#{{1,2}} |\Z)", card, re.M | re.S)
    if before is not None:
        card = f"{card[: before.start()]}{text}{'' if before.end() == len(card) else chr(10)}{card[before.end() :]}"
    else:
        card = f"{card.rstrip()}\n\n{text}" if card.strip() else text
    file.write_text(card, encoding="utf-8")
    return text


def _history(registry: Registry, model: str) -> List[Operation]:
    """The entries of the log that made a version and those that it replaced, oldest first."""
    graph, log = registry.graph(), registry.log()
    found: List[Operation] = []
    current: Optional[str] = model
    while current is not None:
        before = [edge.parent for edge in graph.parents(current) if edge.relation.kind == "unlearned_from"]
        if before:
            entry = next((entry for entry in log if current in _made(entry)), None)
            if entry is not None:
                found.append(entry)
        current = before[0] if before else None
    return found[::-1]


def _made(entry: Operation) -> List[str]:
    return [model for model, _ in entry.changes.models]


def _asked(request: Any) -> str:
    """What was asked for, in words."""
    forget = request["forget"]
    if "classes" in forget:
        return f"forgot the classes {', '.join(f'`{name}`' for name in forget['classes'])}"
    if "source" in forget:
        return f"forgot what came from `{forget['source']}`"
    count = len(forget["samples"])
    return "forgot 1 sample" if count == 1 else f"forgot {count} samples"


def _base_models(card: str) -> List[str]:
    """The base models in the metadata of a card."""
    front = re.match(r"\ufeff?\s*---\n(.*?)\n---", card, re.S)
    if front is None:
        return []
    import yaml

    found = yaml.safe_load(front.group(1)) or {}
    base = found.get("base_model") if isinstance(found, dict) else None
    return [base] if isinstance(base, str) else [str(name) for name in base or []]
