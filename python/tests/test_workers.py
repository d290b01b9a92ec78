"""Parts given to workers: what is tried again, what is not, and who hears of it."""

import pytest

from disinherit._disinherit import dispatch_parts

PARTS = [(f"{number}/3", 1) for number in (1, 2, 3)]


class Scripted:
    """Workers whose attempts end as was written down, and with ten times the shard's number otherwise."""

    def __init__(self, script=(), room=2):
        self.script, self.free, self.running = dict(script), room, []
        self.most, self.cancelled = 0, False

    def room(self):
        return self.free

    def submit(self, shard, models, attempt):
        self.running.append((shard, attempt))
        self.most = max(self.most, len(self.running))

    def wait(self):
        shard, attempt = self.running.pop()
        how, payload, is_final = self.script.get((shard, attempt), ("success", int(shard[0]) * 10, False))
        if how == "interrupt":
            raise payload
        return [(shard, attempt, "here", 0.5, how, payload, is_final)]

    def cancel(self):
        self.cancelled = True


class GaveUp(Exception):
    pass


def dispatch(workers, max_retries=2, told=lambda *heard: None):
    return dispatch_parts(workers, PARTS, max_retries, told, lambda *said: GaveUp(*said))


def test_what_is_in_the_way_is_tried_again():
    heard = []
    busy = ("failed", OSError("busy"), False)
    workers = Scripted({("1/3", 1): ("worker_died", "killed", False), ("1/3", 2): busy, ("3/3", 1): busy})
    assert dispatch(workers, told=lambda *said: heard.append(said)) == [10, 20, 30]
    assert sorted(heard) == [
        ("1/3", 1, True), ("1/3", 2, True), ("1/3", 3, False), ("2/3", 1, False), ("3/3", 1, True), ("3/3", 2, False),
    ]
    assert workers.most == 2 and not workers.cancelled


def test_a_shard_that_fails_too_often_ends_the_job():
    last = OSError("on fire")
    script = {("2/3", 1): ("worker_unavailable", "no room", False), ("2/3", 2): ("failed", last, False)}
    with pytest.raises(GaveUp) as failed:
        dispatch(Scripted(script), max_retries=1)
    assert failed.value.args == ("2/3", 2, "OSError: on fire", last)


def test_a_refusal_and_an_interrupt_are_raised_as_they_are():
    refusal = KeyError("unknown")
    workers = Scripted({("1/3", 1): ("failed", refusal, True)}, room=1)
    with pytest.raises(KeyError) as raised:
        dispatch(workers)
    assert raised.value is refusal and not workers.running and not workers.cancelled
    workers = Scripted({("1/3", 1): ("interrupt", KeyboardInterrupt(), False)}, room=1)
    with pytest.raises(KeyboardInterrupt):
        dispatch(workers)
    assert workers.cancelled
    with pytest.raises(ValueError, match="no outcome `vanished`"):
        dispatch(Scripted({("2/3", 1): ("vanished", None, False)}))
    with pytest.raises(ZeroDivisionError):
        dispatch(Scripted(), told=lambda *heard: 1 / 0)
