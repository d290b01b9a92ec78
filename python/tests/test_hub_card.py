"""The metadata of a model card after a request, and the signature over a folder with a card in it."""

import json
import subprocess
import sys

import numpy as np
import pytest

yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")

from disinherit import DisinheritError, InvalidCertificate, Registry  # noqa: E402
from disinherit.certificates import new_key, sign  # noqa: E402
from disinherit.hub import write_card  # noqa: E402
from disinherit.results import Relation  # noqa: E402
from test_requests import LABELS, data, family  # noqa: E402


def front(folder):
    """The metadata of a card, as a YAML reader has it."""
    _, text, _ = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(text)


@pytest.fixture()
def forgotten(tmp_path):
    registry = family(tmp_path / "registry")
    weight = np.zeros((3, 8), np.float32)
    weight[:, :3] = 4 * np.eye(3)
    head = {"head.weight": weight, "head.bias": np.zeros(3, np.float32)}
    for name, parents in [
        ("adapted", {"base": "adapter"}),
        ("soup", {"base": "merged=0.5", "child": "merged=0.5"}),
        ("small", {"child": "quantised"}),
        ("tuned", {"base": Relation("transfer", frozen=[])}),
    ]:
        registry.add(name, head, labels=LABELS, head="head", parents=parents, trained_on="insects")
    registry.unlearn(classes="cat", data=data(), progress=False)
    return registry


@pytest.fixture()
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(
    "model, base, relation",
    [
        ("child", "hospital/base", "finetune"),
        ("tuned", "hospital/base", "finetune"),
        ("soup", ["hospital/base", "child"], "merge"),
        ("small", "child", "quantized"),
        # There is no adapter in the folder, so that what is in it is the whole network.
        ("adapted", "hospital/base", "finetune"),
    ],
)
def test_a_card_without_a_base_model_gets_the_parents_of_the_graph(forgotten, folder, model, base, relation):
    card = folder / "README.md"
    card.write_text("---\nlicense: mit\n---\n# Mine\n")
    write_card(forgotten, model, folder, repositories={"base": "hospital/base"})
    assert front(folder) == {"license": "mit", "base_model": base, "base_model_relation": relation}
    assert "\n---\n# Mine\n\n## Unlearned\n" in card.read_text()
    # What it says now stays, and so do those that said it before.
    before = card.read_text()
    write_card(forgotten, model, folder)
    assert card.read_text() == before
    card.unlink()
    write_card(forgotten, model, folder)
    assert front(folder)["base_model_relation"] == relation


def test_what_a_card_says_of_its_base_model_stays(forgotten, folder):
    card = folder / "README.md"
    for text in ("base_model: [a/b, c/d]\n# a comment\nbase_model_relation: merge\n", "license: mit\nbase_model: a/b\n"):
        card.write_text(f"---\n{text}---\n# Mine\n")
        write_card(forgotten, "child", folder)
        assert card.read_text().startswith(f"---\n{text}---\n# Mine\n")
    # A key without a value says nothing.
    card.write_text("---\nbase_model:\nlicense: mit\n---\n")
    write_card(forgotten, "child", folder)
    assert front(folder) == {"base_model": "base", "license": "mit", "base_model_relation": "finetune"}
    # A root has no parents to name, and a model is no child of its own repository.
    card.unlink()
    write_card(forgotten, "base", folder)
    assert card.read_text().startswith("## Unlearned")
    write_card(forgotten, "child", folder, repository="us/child", repositories={"base": "us/child"})
    assert front(folder)["base_model"] == "base"
    card.write_text("---\nbase_model: [a\n---\n")
    with pytest.raises(DisinheritError, match="README.md: its metadata cannot be read"):
        write_card(forgotten, "child", folder)


ADAPTER = """---
base_model: hospital/base
library_name: peft
tags:
- base_model:adapter:hospital/base
- lora
base_model_relation: adapter
pipeline_tag: text-classification
---
# Mine
"""


def test_a_merged_network_is_no_adapter_any_more(forgotten, folder):
    card = folder / "README.md"
    card.write_text(ADAPTER)
    (folder / "adapter_config.json").write_text("{}")
    write_card(forgotten, "adapted", folder)
    assert card.read_text().startswith(ADAPTER)
    # An adapter without a card, too.
    card.unlink()
    write_card(forgotten, "adapted", folder)
    assert front(folder) == {"base_model": "base", "base_model_relation": "adapter"}
    # `disinherit.peft` gave the whole network, which `save_pretrained` wrote.
    (folder / "adapter_config.json").unlink()
    (folder / "config.json").write_text("{}")
    card.write_text(ADAPTER)
    write_card(forgotten, "adapted", folder)
    assert front(folder) == {
        "base_model": "hospital/base",
        "library_name": "transformers",
        "tags": ["lora"],
        "base_model_relation": "finetune",
        "pipeline_tag": "text-classification",
    }


def verified(folder, key):
    command = ["verify", "key", folder, "--signature", folder / "model.sig", "--public_key", f"{key}.pub"]
    done = subprocess.run([sys.executable, "-m", "model_signing", *map(str, command)], capture_output=True, text=True)
    return done.returncode == 0


def test_a_folder_is_signed_after_its_card_was_written(forgotten, folder, tmp_path):
    key = tmp_path / "models.pem"
    new_key(key, kind="p256")
    new_key(tmp_path / "plain.pem")
    (folder / "model.safetensors").write_bytes(b"weights")
    write_card(forgotten, "child", folder)
    assert sign(folder, key) == str(folder / "model.sig")
    whole = (folder / "README.md").read_bytes()
    signature = (folder / "model.sig").read_bytes()
    # A card written now would make the signature invalid, so nothing is written.
    with pytest.raises(DisinheritError, match="give the key with `sign="):
        write_card(forgotten, "child", folder, repositories={"base": "hospital/base"})
    assert (folder / "README.md").read_bytes() == whole and (folder / "model.sig").read_bytes() == signature
    with pytest.raises(InvalidCertificate, match="P-256"):
        sign(folder, tmp_path / "plain.pem")
    pytest.importorskip("model_signing", reason="model_signing is not installed")
    assert verified(folder, key)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    assert not verified(folder, key)
    write_card(forgotten, "child", folder, sign=key.read_bytes())
    assert verified(folder, key) and front(folder)["license"] == "mit"
    (folder / "README.md").write_bytes(whole)
    assert not verified(folder, key)


def test_the_card_is_written_before_the_signature_in_what_the_page_says(tmp_path):
    """The order of `docs/hub.md`, from a registry on disk to the stock verifier."""
    numpy = pytest.importorskip("safetensors.numpy")
    (tmp_path / "hub").mkdir()
    weight = np.zeros((3, 8), np.float32)
    weight[:, :3] = 4 * np.eye(3)
    numpy.save_file({"fc.weight": weight, "fc.bias": np.zeros(3, np.float32)}, tmp_path / "hub" / "model.safetensors")
    (tmp_path / "hub" / "config.json").write_text(json.dumps({"id2label": dict(enumerate(LABELS))}))
    registry = Registry.create(tmp_path / "registry")
    registry.import_tree(tmp_path / "hub", trained_on="insects", progress=False)
    registry.unlearn(classes="cat", data=data(), progress=False)
    key, out = tmp_path / "models.pem", tmp_path / "clinic-unlearned"
    new_key(key, kind="p256")
    registry.export("hub", out)
    write_card(registry, "hub", out, sign=key)
    pytest.importorskip("model_signing", reason="model_signing is not installed")
    assert verified(out, key)
    covered = {path.name for path in out.iterdir()}
    assert covered == {"README.md", "config.json", "model.safetensors", "model.sig"}
