"""`python -m disinherit.mlflow`: what its arguments become, without a server."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("mlflow", reason="mlflow is not installed (python/requirements-stack.txt)")

from disinherit import DisinheritError, Registry  # noqa: E402
from disinherit import mlflow as dm  # noqa: E402
from disinherit.mlflow import __main__ as command  # noqa: E402
from disinherit.results import Relation, Training  # noqa: E402

SERVER = "http://localhost:1"


@pytest.fixture()
def calls(tmp_path, monkeypatch):
    """The calls that the command makes, and a registry where it is told to look."""
    made = []
    Registry.create(tmp_path / "registry")
    monkeypatch.setenv("DISINHERIT_REGISTRY", str(tmp_path / "registry"))
    done = {
        "pull": dm.Pulled(
            [dm.PulledVersion("clf/2", "clf/2@1", [("clf/1@1", Relation("distilled"))], "mapping", [])],
            [dm.Left("odd/1", "its flavours are none")], 1, ["a note"],
        ),
        "push": dm.Pushed([dm.PushedVersion("clf/2@2", "clf/3", "clf/2", ["champion"], "r")], ["old/1"], []),
        "purge": dm.PurgedVersions([dm.PurgedVersion("clf/2", "s3://x", 3, 70)], [("clf/1", "an alias")], ["the records"]),
    }  # fmt: skip
    for name, result in done.items():

        def call(server, registry, name=name, result=result, **given):
            assert server == SERVER and isinstance(registry, Registry)
            made.append((name, {key: value for key, value in given.items() if value not in (None, {}, [], False)}))
            return result

        monkeypatch.setattr(command, name, call)
    return made


def test_arguments_become_those_of_the_functions(calls, capsys):
    assert command.main(["pull", SERVER]) == 0
    assert calls.pop() == ("pull", {})
    pull = ["pull", SERVER, "--name", "clf", "--name", "other", "--labels", "ant, bee", "--head", "fc", "--dry-run"]
    pull += ["--parent", "clf/2=clf/1:merged=0.5", "--parent", "clf/2=other/1", "--trained-on", "clf/1=insects"]
    assert command.main(pull) == 0
    assert calls.pop() == (
        "pull",
        {
            "names": ["clf", "other"],
            "labels": ["ant", "bee"],
            "head": "fc",
            "dry_run": True,
            "parents": {"clf/2": {"clf/1": "merged=0.5", "other/1": "fine_tune"}},
            "trained_on": {"clf/1": [Training("insects")]},
        },
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[4:] == [
        "clf/2 would be clf/2@1, from clf/1@1", "odd/1 was left out: its flavours are none", "a note", "1 new, 1 known",
    ]  # fmt: skip
    push = ["push", SERVER, "--model", "clf/2", "--certificate", "proof.json", "--registry-uri", "http://localhost:2"]
    assert command.main(push) == 0
    expected = {"models": ["clf/2"], "certificate": "proof.json", "aliases": True, "registry_uri": "http://localhost:2"}
    assert calls.pop() == ("push", expected)
    assert command.main(["push", SERVER, "--keep-aliases"]) == 0 and calls.pop() == ("push", {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["clf/3 replaces clf/2, and is now champion", "old/1 is retired", "1 new versions"]
    assert command.main(["purge", SERVER, "--reason", "request 17", "--version", "clf/2"]) == 0
    assert calls.pop() == ("purge", {"reason": "request 17", "versions": ["clf/2"]})
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["deleted 3 files of clf/2 (70 bytes)", "clf/1 stays: an alias", "MLflow keeps:", "  the records"]
    assert command.main(["purge", SERVER, "--reason", "request 17", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["versions"][0]["uri"] == "clf/2"


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "pull|push|purge"),
        (["unlearn", SERVER], "unlearn"),
        (["pull"], "SERVER"),
        (["pull", SERVER, "--parent", "clf/2"], "`clf/2` is not of the form NAME/VERSION="),
        (["purge", SERVER], "--reason"),
        (["push", SERVER, "--dry-run"], "--dry-run"),
    ],
)
def test_a_wrong_command_line_is_refused(calls, capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2 and words in capsys.readouterr().err and calls == []


def test_what_fails_is_said_and_ends_with_3(calls, capsys, monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise DisinheritError("push first")

    monkeypatch.setattr(command, "purge", refuse)
    assert command.main(["purge", SERVER, "--reason", "x"]) == 3
    assert capsys.readouterr().err == "error: push first\n"
    assert command.main(["pull", SERVER, "--registry", str(tmp_path / "nowhere")]) == 3
    assert "nowhere" in capsys.readouterr().err


def test_the_help_teaches():
    done = subprocess.run([sys.executable, "-m", "disinherit.mlflow", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "examples:" in done.stdout and "erasure request 17" in done.stdout
    for name in ("pull", "push", "purge"):
        assert f"disinherit.mlflow {name} http://localhost:5000" in done.stdout
