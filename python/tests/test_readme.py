"""The example in the README works as it stands, and is short."""

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
README = Path(__file__).parents[2] / "README.md"


def test_the_readme_keeps_its_word(capsys):
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.S).group(1)
    assert len(code.splitlines()) < 30
    exec(compile(code, str(README), "exec"), {})
    cat, others = re.search(r"cat: (\S+) others: (\S+)", capsys.readouterr().out).groups()
    assert float(cat) <= 0.01 and float(others) > 0.8
