"""The tokenizer's benchmark runs in its quick form, keeps what it measured, and says what failed."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.bench_tokenizer import main


def test_quick_run_and_its_resumption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("VOL3D_BTB3D", raising=False)
    arguments = ["--quick", "--threads", "1", "--only", "encode", "--json", str(tmp_path / "found.json")]
    assert main(arguments) == 0
    first = capsys.readouterr()
    assert max(map(len, first.out.splitlines())) <= 100
    assert first.err.count("running") == len(json.loads((tmp_path / "found.json").read_text())["cases"]) == 3
    rows = re.findall(r"^float32 +17 (windowed|stream) +([\d.]+) ", first.out, re.MULTILINE)
    assert [name for name, _ in rows] == ["windowed", "stream"]
    assert main(arguments) == 0
    second = capsys.readouterr()
    assert second.err == ""
    assert second.out == first.out


@pytest.mark.slow
def test_the_entropies_are_those_of_the_published_form(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("VOL3D_BTB3D", raising=False)
    assert main(["--quick", "--threads", "1", "--only", "entropy"]) == 0
    said = capsys.readouterr()
    assert max(map(len, said.out.splitlines())) <= 100
    assert said.err.count("running") == 4
    value, gradient = (float(x) for x in re.search(r"values within (\S+), gradients within (\S+)", said.out).groups())
    assert value < 1e-12
    assert gradient < 1e-9
    assert float(re.search(r"10 bits, 20,000 tokens: within (\S+)", said.out).group(1)) < 1e-6


def test_a_failing_case_is_said_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VOL3D_BTB3D", str(tmp_path))
    assert main(["--quick", "--threads", "1", "--only", "decode"]) == 1
    assert "failed: ModuleNotFoundError" in capsys.readouterr().out
