"""The section of a model card that says what was unlearned."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Union

from .. import DisinheritError, Registry
from .._arguments import PathLike
from ..certificates import contents
from ..certificates import sign as sign_model
from ..results import Operation, Verdict
from ._metadata import Metadata, inherited, relate

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
    repositories: Optional[Mapping[str, str]] = None,
    verdicts: Sequence[Verdict] = (),
    certificate: Optional[PathLike] = None,
    sign: Union[None, PathLike, bytes] = None,
) -> str:
    """Write the section into the model card (``README.md``) of an exported folder, and return it.

    A section from before is replaced. Where the metadata has no ``base_model``, that and ``base_model_relation`` are
    taken from the registry's graph: parents by their names there, or by what ``repositories`` says for a name. A
    folder without ``adapter_config.json`` is a whole network, so that its card no longer says ``adapter``. Everything
    else stays as it is. Where the metadata names the ``repository`` itself as ``base_model``, which would make it its
    own parent, the card is refused.

    A signature covers the card too: with ``sign``, a key over P-256, the folder is signed once the card is written.
    Without it, a folder that is signed already is refused.
    """
    place = Path(folder)
    file = place / "README.md"
    if not place.is_dir():
        raise DisinheritError(f"{folder} is no folder: export the model there first")
    if sign is None and (place / "model.sig").exists():
        raise DisinheritError(
            f"{place / 'model.sig'} signs the folder as it is, and a card written now would make it invalid: give the key "
            "with `sign=`, or delete the signature, write the card, and sign then"
        )
    metadata = Metadata(file, file.read_text(encoding="utf-8") if file.exists() else "")
    if repository is not None and repository in metadata.base_models():
        raise DisinheritError(
            f"{file} names `{repository}` as its own `base_model`: an edited version goes on under the same name, and "
            "what it was made from is what the version before was made from; correct `base_model`"
        )
    text = section(registry, model, verdicts=verdicts, certificate=certificate)
    known = {name: found for name, found in (repositories or {}).items() if found != repository}
    relate(metadata, place, inherited(registry, registry.show(model).model.id, known))
    file.write_text(_with_section(metadata.card(), text), encoding="utf-8")
    if sign is not None:
        sign_model(place, sign)
    return text


def _with_section(card: str, text: str) -> str:
    """A card with the section in the place of that from before, or at the end."""
    before = re.search(rf"^{_TITLE}[ \t]*$.*?(?=^#{{1,2}} |\Z)", card, re.M | re.S)
    if before is not None:
        return f"{card[: before.start()]}{text}{'' if before.end() == len(card) else chr(10)}{card[before.end() :]}"
    return f"{card.rstrip()}\n\n{text}" if card.strip() else text


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
