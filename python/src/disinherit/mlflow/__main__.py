"""``python -m disinherit.mlflow``: the three functions as a command, since MLflow's own takes none from other packages."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, Dict, List, Optional, Sequence

from mlflow.exceptions import MlflowException

from .. import Data, DisinheritError, Registry, Training
from . import pull, purge, push

_EXAMPLES = """\
examples:
  python -m disinherit.mlflow pull http://localhost:5000 --registry models --parent clf/2=clf/1:distilled
  disinherit --registry models unlearn --forget class=cat --data features/
  python -m disinherit.mlflow push http://localhost:5000 --registry models --data features/ --certificate proof.json
  python -m disinherit.mlflow purge http://localhost:5000 --registry models --reason "erasure request 17" --dry-run
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m disinherit.mlflow",
        description="Bring models of an MLflow server into a registry, edited ones back, and delete the old ones' files.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="pull|push|purge")
    place = os.environ.get("DISINHERIT_REGISTRY", ".")
    made = {}
    for name, words in [
        ("pull", "add the versions that the registry does not have yet, with their lineage; nothing is written to MLflow"),
        ("push", "register edited models as new versions, and move aliases to them"),
        ("purge", "delete the files of versions that were replaced, for good"),
    ]:
        made[name] = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        made[name].add_argument("server", metavar="SERVER", help="an address, or what else `mlflow.set_tracking_uri` takes")
        made[name].add_argument("--registry", default=place, metavar="PLACE", help="the registry (DISINHERIT_REGISTRY, or here)")
        made[name].add_argument("--registry-uri", metavar="URI", help="MLflow's model registry, where that stands elsewhere")
        made[name].add_argument("--json", action="store_true", help="print one JSON object")
    for name in ("pull", "purge"):
        made[name].add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    made["pull"].add_argument("--name", action="append", dest="names", metavar="NAME", help="a registered model; all without it")
    made["pull"].add_argument("--labels", type=_words, metavar="A,B,...", help="what the rows of the heads are called")
    made["pull"].add_argument("--head", metavar="LAYER", help="the layer that is the head")
    made["pull"].add_argument(
        "--parent", action="append", default=[], dest="parents", type=_pair, metavar="CHILD=PARENT[:RELATION]",
        help="what a version came from, `clf/2=clf/1:distilled`, in the place of what MLflow has on record",
    )  # fmt: skip
    made["pull"].add_argument(
        "--trained-on", action="append", default=[], type=_pair, metavar="VERSION=DATA", help="what a version was trained on itself"
    )
    made["push"].add_argument("--model", action="append", dest="models", metavar="MODEL", help="a model of the registry; all without it")
    made["push"].add_argument("--data", metavar="DATA", help="judge the new versions on this data, and log what comes out as metrics")
    made["push"].add_argument("--certificate", metavar="FILE", help="log this certificate as an artifact")
    made["push"].add_argument("--keep-aliases", action="store_true", help="leave aliases where they are")
    made["purge"].add_argument("--reason", required=True, help="why, for the record")
    made["purge"].add_argument("--version", action="append", dest="versions", metavar="NAME/VERSION", help="one of them; all without it")
    return parser


def _words(text: str) -> List[str]:
    return [word.strip() for word in text.split(",")]


def _pair(text: str) -> List[str]:
    first, found, second = text.partition("=")
    if not (first and found and second):
        raise argparse.ArgumentTypeError(f"`{text}` is not of the form NAME/VERSION=...")
    return [first, second]


def _parents(pairs: Sequence[Sequence[str]]) -> Dict[str, Dict[str, str]]:
    said: Dict[str, Dict[str, str]] = {}
    for child, words in pairs:
        parent, _, how = words.partition(":")
        said.setdefault(child, {})[parent] = how or "fine_tune"
    return said


def _run(args: argparse.Namespace) -> Any:
    registry = Registry(args.registry)
    common = {"registry_uri": args.registry_uri}
    if args.command == "pull":
        trained: Dict[str, List[Training]] = {}
        for version, data in args.trained_on:
            trained.setdefault(version, []).append(Training(data))
        return pull(
            args.server, registry, names=args.names, labels=args.labels, head=args.head, parents=_parents(args.parents),
            trained_on=trained, dry_run=args.dry_run, **common,
        )  # fmt: skip
    if args.command == "push":
        verdicts = [] if args.data is None else registry.verify(Data.open(args.data), progress=False)
        return push(
            args.server, registry, models=args.models, verdicts=verdicts, certificate=args.certificate,
            aliases=not args.keep_aliases, **common,
        )  # fmt: skip
    return purge(args.server, registry, reason=args.reason, versions=args.versions, dry_run=args.dry_run, **common)


def _lines(command: str, done: Any, dry: bool) -> List[str]:
    """What was done, for a person."""
    if command == "pull":
        lines = [
            f"{each.uri} {'would be' if dry else 'is'} {each.model}, from {', '.join(parent for parent, _ in each.parents) or 'nothing'}"
            for each in done.added
        ]
        lines += [f"{left.uri} was left out: {left.reason}" for left in done.left_out]
        return [*lines, *done.notes, f"{len(done.added)} new, {done.known} known"]
    if command == "push":
        lines = [f"{each.uri} replaces {each.replaces}" + "".join(f", and is now {alias}" for alias in each.aliases) for each in done.versions]
        return [*lines, *(f"{uri} is retired" for uri in done.retired), *done.notes, f"{len(done.versions)} new versions"]
    verb = "would delete" if dry else "deleted"
    lines = [f"{verb} {each.files} files of {each.uri} ({each.bytes} bytes)" for each in done.versions]
    lines += [f"{uri} stays: {reason}" for uri, reason in done.left]
    return [*lines, *(["MLflow keeps:"] if done.kept else []), *(f"  {words}" for words in done.kept)]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command: 0 where it was done, 3 where it was refused."""
    args = _parser().parse_args(arguments)
    try:
        done = _run(args)
    except (DisinheritError, MlflowException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    if args.json:
        print(json.dumps(done.to_dict()))
    else:
        print("\n".join(_lines(args.command, done, getattr(args, "dry_run", False))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
