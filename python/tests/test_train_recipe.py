"""The script that trains a recipe's models, on a few invented images."""

import importlib.util
import io
import json
import sys
from pathlib import Path

import pytest

for needed in ("torch", "pyarrow", "PIL", "safetensors"):
    pytest.importorskip(needed)

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

SCRIPT = Path(__file__).parents[1] / "examples" / "train_recipe.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_recipe", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture(label, chance):
    """Dark on the left, or on the right."""
    pixels = chance.integers(0, 60, (32, 32, 3), dtype=np.uint8)
    pixels[:, 16 * label : 16 * label + 16] += 180
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def job(name, parents, rows, **more):
    config = {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "one_cycle",
              "epochs": 6, "batch_size": 16, "augment": False}
    return {"name": name, "parents": parents, "rows": rows, "config": {**config, **more.pop("config", {})},
            "frozen": [], "seed": 2**63 + 5, **more}


def test_models_are_trained_as_listed(script, tmp_path, monkeypatch):
    chance = np.random.default_rng(1)
    labels = [n % 2 for n in range(96)]
    images = pa.array([picture(label, chance) for label in labels], pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    parquet.write_table(pa.table({"img": images, "label": labels}), tmp_path / "train.parquet")
    folder = tmp_path / "seed-1"
    folder.mkdir()
    torch.manual_seed(0)
    fresh = script.ResNet("resnet-8", 3, 2)
    start = {name: value for name, value in fresh.state_dict().items() if "num_batches" not in name}
    save_file(start, folder / "initial.safetensors")
    frozen = ["conv1", "bn1", "layer"]
    models = [
        job("a", [], list(range(64))),
        job("b", ["a"], list(range(32, 96)), frozen=frozen, config={"epochs": 2, "augment": {"crop": 2, "flip": False}}),
        job("retrained-a", [], [row for row in range(64) if labels[row] == 0], config={"epochs": 1}),
        job("retrained-c", ["a", "b"], list(range(20)), config={"epochs": 1, "learning_rate": 1e-12}),
    ]
    listed = {"architecture": "resnet-8", "labels": ["left", "right"], "preprocessing": {"mean": [0.5], "std": [0.25]},
              "models": models}
    (folder / "trainings.json").write_text(json.dumps(listed))
    monkeypatch.setattr(sys, "argv", ["train_recipe.py", str(folder), "--data", str(tmp_path), "--device", "cpu"])
    script.main()

    told = json.loads((folder / "trained.json").read_text())
    assert set(told["seconds"]) == {"a", "b", "retrained-a", "retrained-c"} and "PyTorch" in told["device"]
    assert told["accuracy"]["a"] == 1.0
    states = {name: load_file(folder / f"{name}.safetensors") for name in told["seconds"]}
    assert all(set(state) == set(start) for state in states.values())
    for name, value in states["b"].items():
        # What is frozen keeps its statistics too.
        assert torch.equal(value, states["a"][name]) == name.startswith(tuple(frozen)), name
    # A mean of two that hardly moves.
    mean = (states["a"]["fc.weight"] + states["b"]["fc.weight"]) / 2
    assert torch.allclose(states["retrained-c"]["fc.weight"], mean, atol=1e-6)

    # What is there is kept.
    (folder / "b.safetensors").unlink()
    before = (folder / "a.safetensors").stat().st_mtime_ns
    script.main()
    assert (folder / "a.safetensors").stat().st_mtime_ns == before and (folder / "b.safetensors").exists()


def test_steps_are_those_of_torch(script):
    """The written-out rule is ``torch.optim.SGD``, and the rates are ``OneCycleLR``'s with a constant momentum."""
    torch.manual_seed(0)
    # In double precision, where sums in another order make no difference.
    net = script.ResNet("resnet-8", 3, 2).double()
    twin = script.ResNet("resnet-8", 3, 2).double()
    twin.load_state_dict(net.state_dict())
    images, labels = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), torch.tensor([0, 1] * 4)
    shift = [torch.full((1, 3, 1, 1), value).double() for value in (1 / 127.5, -1.0)]
    config = job("a", [], [])
    trainer = script.Trainer(net.train(), images, labels, config, shift)
    optimizer = torch.optim.SGD(twin.train().parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    trainer.rate.fill_(0.1)
    for _ in range(3):
        trainer.step(torch.arange(8))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(twin(images.double().mul(shift[0]).add(shift[1])), labels).backward()
        optimizer.step()
    for one, other in zip(net.state_dict().values(), twin.state_dict().values()):
        assert torch.allclose(one.double(), other.double(), atol=1e-6)

    one = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(one, 0.4, total_steps=101, pct_start=0.3, final_div_factor=1e9,
                                                cycle_momentum=False, anneal_strategy="cos")
    falling = []
    for step in range(101):
        falling.append((step, one.param_groups[0]["lr"]))
        one.step()
        cycle.step()
    for step, rate in falling[31:]:
        # PyTorch goes down over 70 of 100 steps from the 29th on.
        found = script.rate({"learning_rate": 0.4, "schedule": "one_cycle"}, step / 100)
        assert abs(found - rate) < 0.02, step
