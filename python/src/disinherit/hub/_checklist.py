"""What is to be done on the Hub until a repository's old weights are gone: listed first, then called."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set

from huggingface_hub import HfApi, scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from .. import DisinheritError
from .._arguments import PathLike

#: Files of weights, by their ending.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".ot", ".ckpt", ".gguf", ".keras")


@dataclass
class Step:
    """Something that is to be done: a call, or by hand where no call does it."""

    #: The name of the method of ``huggingface_hub.HfApi`` (or ``delete_revisions`` of the cache); ``None`` by hand.
    call: Optional[str]
    arguments: Dict[str, Any]
    why: str
    done: bool = False
    _run: Optional[Callable[[], Any]] = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        mark = "x" if self.done else " "
        if self.call is None:
            return f"[{mark}] by hand: {self.why}"
        words = ", ".join(f"{name}={_short(value)}" for name, value in self.arguments.items())
        return f"[{mark}] {self.call}({words})\n      {self.why}"


@dataclass
class Checklist:
    """The steps, in the order in which they must be taken."""

    repository: str
    steps: List[Step]
    #: Files of old weights: their SHA-256 as the Hub knows them, with what it last called them.
    stale: Dict[str, str]
    bytes: int
    _api: Any = field(repr=False, compare=False)
    _repo_type: str = "model"

    def __str__(self) -> str:
        head = f"{self.repository}: {len(self.stale)} files of old weights, {self.bytes / 1e6:.1f} MB"
        return "\n".join([head, *map(str, self.steps)])

    def execute(self) -> None:
        """Make the calls, one after the other, and ask the Hub whether the old files are gone. It cannot be taken back.

        A call that fails leaves the rest undone: make the checklist again, which then has what is left.
        """
        for step in self.steps:
            if step._run is not None and not step.done:
                step._run()
                step.done = True
        files = self._api.list_lfs_files(self.repository, repo_type=self._repo_type)
        left = sorted({info.filename for info in files if info.file_oid in self.stale})
        if left:
            raise DisinheritError(f"the Hub still lists old files of {self.repository}: {', '.join(left)}")


def checklist(
    repository: str,
    folder: Optional[PathLike] = None,
    *,
    branch: str = "main",
    execute: bool = False,
    token: Optional[str] = None,
    endpoint: Optional[str] = None,
    cache: Optional[PathLike] = None,
    api: Optional[HfApi] = None,
    repo_type: str = "model",
) -> Checklist:
    """What deletes the old weights of a repository: on its branches, in its history, in its storage and in the local cache.

    The Hub is asked, and nothing is changed unless ``execute`` says so. ``folder`` has the files that are to stay (an export
    after unlearning); where ``branch`` does not have them yet, they are uploaded first. Without ``folder`` what is on the
    branch stays. Every other file of weights in the repository's storage is an old one.
    """
    api = api or HfApi(endpoint=endpoint, token=token)
    made = _Steps(api, repository, branch, repo_type)
    kept = made.kept(folder)
    made.refs(kept)
    made.history()
    stale = made.storage(kept)
    made.caches(cache)
    made.by_hand()
    todo = Checklist(repository, made.steps, {oid: info[0] for oid, info in stale.items()}, sum(info[1] for info in stale.values()), api, repo_type)
    if execute:
        todo.execute()
    return todo


class _Steps:
    """The steps of one repository."""

    def __init__(self, api: Any, repository: str, branch: str, repo_type: str) -> None:
        self.api, self.repository, self.branch, self.repo_type = api, repository, branch, repo_type
        self.steps: List[Step] = []
        self.pull_requests: List[str] = []

    def add(self, call: str, why: str, run: Optional[Callable[[], Any]] = None, **arguments: Any) -> None:
        """One call of the Hub's client."""
        method = getattr(self.api, call, None)
        named = {"repo_id": self.repository, **arguments, "repo_type": self.repo_type}
        shown = {name: value for name, value in named.items() if (name, value) != ("repo_type", "model")}
        self.steps.append(Step(call, shown, why, _run=run or (lambda: method(**named) if method else None)))

    def tree(self, revision: str) -> Dict[str, str]:
        """The weights of a revision: names by SHA-256. Small files that are no LFS files are not among them."""
        items = self.api.list_repo_tree(self.repository, recursive=True, revision=revision, repo_type=self.repo_type)
        found = {}
        for item in items:
            lfs = getattr(item, "lfs", None)
            if lfs is not None:
                found[str(lfs.sha256)] = str(item.path)
        return found

    def kept(self, folder: Optional[PathLike]) -> Set[str]:
        """The SHA-256 of files that are to stay; notes the upload where the branch is to get them."""
        there = self.tree(self.branch)
        if folder is None:
            return set(there)
        files = [file for file in sorted(Path(folder).rglob("*")) if file.is_file()]
        own = {_sha256(file): file.relative_to(folder).as_posix() for file in files}
        weights = {oid: name for oid, name in own.items() if name.endswith(_WEIGHTS)}
        if not weights:
            raise DisinheritError(f"{folder} has no file of weights ({', '.join(_WEIGHTS)})")
        old = sorted(name for oid, name in there.items() if oid not in own and name.endswith(_WEIGHTS))
        if old or not set(weights) <= set(there):
            self.add(
                "upload_folder",
                f"the edited weights become the head of `{self.branch}`"
                + (f"; {', '.join(old)} there are old" if old else ""),
                folder_path=str(folder),
                revision=self.branch,
                commit_message="Unlearned version",
                delete_patterns=[name for name in old if name not in own.values()],
            )
        return {*own, *(oid for oid, name in there.items() if not name.endswith(_WEIGHTS))}

    def refs(self, kept: Set[str]) -> None:
        """Tags and branches that lead to old weights, and pull requests, which no call deletes."""
        refs = self.api.list_repo_refs(self.repository, include_pull_requests=True, repo_type=self.repo_type)
        for kind, call, name in ((refs.tags, "delete_tag", "tag"), (refs.branches, "delete_branch", "branch")):
            for ref in kind:
                if (name == "branch" and ref.name == self.branch) or not self.is_old(ref.ref, kept):
                    continue
                self.add(call, f"the {name} leads to old weights", **{name: ref.name})
        for ref in [*refs.converts, *(refs.pull_requests or [])]:
            if self.is_old(ref.ref, kept):
                self.pull_requests.append(ref.ref)

    def is_old(self, revision: str, kept: Set[str]) -> bool:
        return any(oid not in kept and name.endswith(_WEIGHTS) for oid, name in self.tree(revision).items())

    def history(self) -> None:
        """The commits of the branch."""
        self.add(
            "super_squash_history",
            "commits from before lead to old weights; one commit is left",
            branch=self.branch,
            commit_message="Unlearned version",
        )

    def storage(self, kept: Set[str]) -> Dict[str, Any]:
        """The old files in the repository's storage, by SHA-256: names and bytes."""

        def old() -> List[Any]:
            files = self.api.list_lfs_files(self.repository, repo_type=self.repo_type)
            return [info for info in files if info.file_oid not in kept and info.filename.endswith(_WEIGHTS)]

        stale = {info.file_oid: (info.filename, info.size) for info in old()}

        def delete() -> None:
            # Asked again: an upload or a squash in between may have changed what there is.
            found = old()
            stale.update({info.file_oid: (info.filename, info.size) for info in found})
            if found:
                self.api.permanently_delete_lfs_files(
                    self.repository, found, rewrite_history=True, repo_type=self.repo_type
                )

        self.add("list_lfs_files", "what the storage has, whatever leads to it", run=lambda: None)
        why = "what the storage keeps though nothing leads to it any more; references in history and pull requests are rewritten"
        names = sorted({name for name, _ in stale.values()})
        self.add("permanently_delete_lfs_files", why, run=delete, lfs_files=names, rewrite_history=True)
        return stale

    def caches(self, cache: Optional[PathLike]) -> None:
        """Revisions in the local cache: all of them are from before."""
        try:
            found = scan_cache_dir(None if cache is None else Path(cache))
        except (CacheNotFound, ValueError):
            return
        revisions = sorted(
            revision.commit_hash
            for repo in found.repos
            if repo.repo_id == self.repository and repo.repo_type == self.repo_type
            for revision in repo.revisions
        )
        if revisions:
            self.steps.append(
                Step(
                    "delete_revisions",
                    {"revisions": revisions},
                    "the local cache of this machine has them; what is current is downloaded again",
                    _run=lambda: found.delete_revisions(*revisions).execute(),
                )
            )

    def by_hand(self) -> None:
        """What no call does."""
        for ref in self.pull_requests:
            number = ref.rpartition("/")[2]
            self.steps.append(
                Step(None, {}, f"close discussion {number}: `{ref}` leads to old weights, and no call deletes such a reference")
            )
        for why in (
            "caches of other machines, mirrors, copies that were downloaded or deployed",
            "duplicates and forks of the repository, and models that were made from it: the Hub lists them on its page",
        ):
            self.steps.append(Step(None, {}, why))


def _sha256(file: Path) -> str:
    made = hashlib.sha256()
    with file.open("rb") as source:
        for part in iter(lambda: source.read(1 << 20), b""):
            made.update(part)
    return made.hexdigest()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(value)} in all)" if isinstance(value, list) else f"{text[:117]}..."
