"""``python -m disinherit.ray worker``: takes jobs from a registry's catalog, and has a Ray cluster do their parts."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from typing import Any, Dict, List, Optional, Sequence, TextIO, Tuple

import ray

import disinherit

from .._arguments import Bar
from ._cluster import Cluster
from ._jobs import JobCluster
from ._tasks import SizedSource, Source, open_data

_EXAMPLES = """\
examples:
  python -m disinherit.ray worker --registry s3://team/models --data photos.parquet
  python -m disinherit.ray worker --data family:data --address 10.0.0.7:6379 --remote-args '{"num_gpus": 1}'
  python -m disinherit.ray worker --data photos.parquet --drain

It takes the jobs that servers file, as `disinherit worker` does and beside it: no job goes to two of them. Models are
edited and judged by tasks on the cluster; this process takes the steps, and publishes once.
"""

#: When a worker ends, in the words of the engine.
_UNTIL = {(False, False): "told", (True, False): "none_waits", (False, True): "one"}


def _size(text: str) -> Tuple[int, int]:
    height, _, width = text.partition("x")
    try:
        return int(height), int(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is no size: for instance 224x224") from None


def _remote_args(text: str) -> Dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(read, dict):
        raise argparse.ArgumentTypeError('an object of JSON: for instance {"num_gpus": 1}')
    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m disinherit.ray",
        description="Do the jobs of a registry on a Ray cluster.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="worker")
    words = "do the runs and verifications that wait in a registry, one at a time"
    worker = commands.add_parser("worker", help=words, description=words[0].upper() + words[1:] + ".")
    say = worker.add_argument
    place = os.environ.get("DISINHERIT_REGISTRY", ".")
    say("--registry", default=place, metavar="PLACE", help="the registry (DISINHERIT_REGISTRY, or here)")
    say("--data", metavar="SOURCE", help="what every worker opens: as for `disinherit worker`, or `module:function`")
    say("--size", type=_size, metavar="HxW", help="scale images to this height and width")
    say("--tokenizer", metavar="FILE", help="the tokenizer of texts")
    say("--at-most", type=float, default=0.01, metavar="X", help="the largest accuracy on forgotten held-out data (0.01)")
    say("--deep", action="store_true", help="look inside the models too")
    say("--require", choices=("outputs", "features", "indistinguishable"), help="what every model must reach")
    say("--address", help="the cluster: HOST:PORT, `auto`; else RAY_ADDRESS, or a new one on this machine")
    say("--workers", type=int, metavar="N", help="tasks at a time; as many as there is room for without it")
    say("--remote-args", type=_remote_args, default={}, metavar="JSON", help="those of `ray.remote`, for each task")
    say("--max-retries", type=int, default=3, metavar="N", help="how often a shard is tried again (3)")
    ends = worker.add_mutually_exclusive_group()
    ends.add_argument("--drain", action="store_true", help="end when no job waits")
    ends.add_argument("--once", action="store_true", help="end after one job, or at once where none waits")
    say("--patience", type=float, default=30, metavar="SECONDS", help="how long its job may take when it is told to stop")
    say("--lifeline", action="store_true", help="stop when standard input ends: who started it is gone, or says so")
    say("--log", default="info", metavar="LEVEL", help="the least level that is logged to standard error (info)")
    say("--json", action="store_true", help="print an object for each event, a line each")
    say("--check", action="store_true", help="say which versions are installed, and take no job")
    return parser


class _Voice:
    """What is printed: lines, or objects of JSON."""

    def __init__(self, out: TextIO, as_json: bool) -> None:
        self.out, self.as_json = out, as_json
        self.taken = self.failed = 0

    def say(self, line: str, event: str, **more: Any) -> None:
        text = json.dumps({"event": event, **more}) if self.as_json else line
        # Who started it may wait for this line, or be gone.
        try:
            print(text, file=self.out, flush=True)
        except OSError:
            pass

    def heard(self, job: int, request: int, kind: str, actor: str, end: Optional[Tuple[str, str]]) -> None:
        """Of a job that was taken, or has ended."""
        about = {"id": job, "request": request, "kind": kind, "actor": actor}
        line = f"job {job}: {kind} of request {request}"
        if end is None:
            self.taken += 1
            self.say(f"{line}: taken", "taken", **about)
            return
        state, said = end
        self.failed += state == "failed"
        self.say(f"{line}: {state}: {said}", "ended", **about, state=state, said=said)


def _connected(options: argparse.Namespace) -> Cluster:
    """The cluster, or an error that says what to do."""
    try:
        return Cluster.of(options.address, options.workers, options.remote_args, options.max_retries, progress=False)
    except (ConnectionError, RuntimeError, TimeoutError) as error:
        where = options.address or os.environ.get("RAY_ADDRESS") or "on this machine"
        raise disinherit.DisinheritError(
            f"cannot join the Ray cluster {where}: {error}; does it run (`ray status --address ...`), with the Python and "
            f"the Ray of this process (Ray {ray.__version__})?"
        ) from error


def _absolute(place: str) -> str:
    """A place that processes with another working directory find too."""
    return os.path.abspath(place) if "://" not in place and os.path.exists(place) else place


def _source(options: argparse.Namespace) -> Source:
    if options.data is None:
        return None
    data = _absolute(options.data)
    if options.size is None and options.tokenizer is None:
        return data
    tokenizer = None if options.tokenizer is None else _absolute(options.tokenizer)
    return SizedSource(data, options.size, tokenizer)


def _jobs(options: argparse.Namespace) -> JobCluster:
    source, bar = _source(options), Bar(options.at_most, options.deep, options.require)
    # What is wrong with these shows at once, and a cluster may take long to answer.
    data, registry = open_data(source), _absolute(options.registry)
    disinherit.Registry(registry)
    return JobCluster(_connected(options), registry, source, data, bar)


def _until_the_end_of_input(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


def _work(options: argparse.Namespace, voice: _Voice) -> int:
    stop = threading.Event()
    if options.lifeline:
        # Before Ray, which may take long to start: who started this may be gone by then.
        threading.Thread(target=_until_the_end_of_input, args=(stop,), daemon=True).start()
    worker = _jobs(options).worker()
    if stop.is_set():
        return 0
    failures: List[Exception] = []

    def take() -> None:
        try:
            worker.run(_UNTIL[options.drain, options.once], voice.heard)
        except Exception as error:
            failures.append(error)

    # After Ray, which has handlers of its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    taking = threading.Thread(target=take, name="jobs", daemon=True)
    taking.start()
    voice.say(f"worker {worker.name} takes jobs", "ready", worker=worker.name)
    while taking.is_alive() and not stop.wait(0.2):
        pass
    if stop.is_set():
        worker.finish(options.patience)
        return 0
    if failures:
        raise failures[0]
    if voice.taken == 0:
        voice.say("no job was taken", "idle")
    return 3 if voice.failed else 0


def main(arguments: Optional[Sequence[str]] = None) -> int:
    options = _parser().parse_args(arguments)
    # Standard output is for what is said here: what Ray and tasks print goes to standard error.
    voice, sys.stdout = _Voice(sys.stdout, options.json), sys.stderr
    if options.check:
        versions = {"disinherit": disinherit.__version__, "ray": ray.__version__}
        voice.say(" ".join(f"{name} {version}" for name, version in versions.items()), "versions", **versions)
        return 0
    logging.basicConfig(level=options.log.upper(), format="%(levelname)s %(name)s: %(message)s")
    try:
        code = _work(options, voice)
    except (disinherit.DisinheritError, OSError, ImportError, AttributeError, ValueError) as error:
        said = str(error) if isinstance(error, disinherit.DisinheritError) else f"{type(error).__name__}: {error}"
        print(f"error: {said}", file=sys.stderr)
        if options.json:
            voice.say("", "failed", said=said)
        return 3
    ray.shutdown()
    return code


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # A job that does not end is left to the next worker: nothing waits for its thread.
    os._exit(code)
