"""A folder of models comes in at once, with what their weights say of each other."""

import os
import typing

import numpy as np
import pytest

from disinherit import DisinheritError, Registry, results
from test_registry import LABELS, data, state, trained
from test_results import check

save_file = pytest.importorskip("safetensors.numpy").save_file


@pytest.fixture()
def tree(tmp_path):
    base = trained()
    child = trained(20, start=base)
    (tmp_path / "more").mkdir()
    save_file(state(base), tmp_path / "base.safetensors")
    save_file(state(child), tmp_path / "more" / "child.safetensors")
    # The same body in both, another in the third.
    unrelated = {**state(trained(300, seed=7)), "body": np.full((4, 4), 9.0, np.float16)}
    save_file(unrelated, tmp_path / "unrelated.safetensors")
    # Parents are older than their children.
    for age, name in enumerate(["more/child", "unrelated", "base"]):
        os.utime(tmp_path / f"{name}.safetensors", (1e9 - age, 1e9 - age))
    return tmp_path


def test_a_folder_of_three_models_comes_in(tree):
    registry = Registry.memory()
    would = registry.import_tree(tree, labels=LABELS, infer_parents=True, dry_run=True, progress=False)
    check(would, results.Imported, "imported")
    assert would.added == [] and registry.models() == []
    done = registry.import_tree(tree, labels=LABELS, infer_parents=True, trained_on="insects", progress=False)
    assert sorted(done.added) == ["base@1", "child@1", "unrelated@1"] and done.models == would.models
    (found,) = [model for model in done.models if model.name == "child"]
    check(done.models, typing.List[results.ImportedModel], "models")
    assert found.parents[0][0].startswith("base") and found.evidence.source == "weights"
    assert found.evidence.confidence > 0.3 and found.head == "fc" and found.labels == LABELS
    assert [edge.parent for edge in registry.graph().parents("child@1")] == ["base@1"]
    # One operation, and a family that forgets.
    assert len(registry.log()) == 1
    everything = data(["base", "child", "unrelated"])
    registry.unlearn(classes="cat", initial=["base", "unrelated"], data=everything, progress=False)
    assert all(verdict.passed for verdict in registry.verify(everything, progress=False))


def test_what_cannot_be_imported_is_said(tree, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    registry = Registry.memory()
    with pytest.raises(DisinheritError, match="no model below"):
        registry.import_tree(empty, progress=False)
    with pytest.raises(DisinheritError, match="the trained label `cow`"):
        registry.import_tree(
            tree, labels=LABELS, trained_on=results.Training("insects", labels=["cow"]), progress=False
        )
    assert registry.models() == []


def cached(cache, repository, revision, tensors, card):
    """One revision of a repository as `huggingface_hub` stores it."""
    folder = cache / ("models--" + repository.replace("/", "--"))
    snapshot = folder / "snapshots" / revision
    for below in (folder / "blobs", folder / "refs", snapshot):
        below.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "blobs" / f"{revision}00")
    (folder / "blobs" / f"{revision}11").write_text(card)
    for name, blob in [("model.safetensors", "00"), ("README.md", "11")]:
        (snapshot / name).symlink_to(os.path.join("..", "..", "blobs", revision + blob))
    (folder / "refs" / "main").write_text(revision)


def test_a_cache_of_the_hub_comes_in_under_the_names_of_its_repositories(tmp_path):
    base = trained()
    cached(tmp_path, "us/base", "a" * 40, state(base), "# The base\n")
    cached(tmp_path, "us/clinic", "b" * 40, state(trained(99)), "")
    cached(tmp_path, "us/clinic", "c" * 40, state(trained(20, start=base)), "---\nbase_model: us/base\n---\n")
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    believed = hub.scan_cache_dir(tmp_path)
    assert not believed.warnings and {repo.repo_id for repo in believed.repos} == {"us/base", "us/clinic"}
    registry = Registry.memory()
    done = registry.import_tree(tmp_path, labels=LABELS, trained_on="insects", progress=False)
    assert done.added == ["base@1", "clinic@1"]
    assert done.models[1].parents[0][0] == "base" and done.models[1].evidence.source == "model_card"
    assert done.models[1].path.endswith("c" * 40)
    # The class is gone from the descendant as well, whose folder has another name than the repository.
    registry.unlearn(classes="cat", data=data(["base", "clinic"]), progress=False)
    assert [model.id for model in registry.models() if model.state == "current"] == ["base@2", "clinic@2"]


def test_the_header_of_a_file_names_its_parents(tmp_path):
    base = trained()
    save_file(state(base), tmp_path / "base.safetensors")
    said = {"base_model": '["us/base"]', "base_model_relation": "quantized"}
    save_file(state(trained(20, start=base)), tmp_path / "small.safetensors", metadata=said)
    registry = Registry.memory()
    done = registry.import_tree(tmp_path, labels=LABELS, progress=False)
    assert done.models[1].evidence.source == "file_metadata"
    assert [(edge.parent, edge.relation.kind) for edge in registry.graph().parents("small@1")] == [("base@1", "quantised")]
