"""A checkpoint is whole or not there, and a damaged one is never loaded."""

import json
from pathlib import Path

import pytest
import torch

from vol3d.errors import CheckpointError
from vol3d.training.checkpoint import load_checkpoint, save_checkpoint


def _save(folder: Path, step: int) -> Path:
    return save_checkpoint(folder, step, {"weight": torch.full((4,), float(step))}, {"seed": 3})


def test_round_trip_and_only_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        _save(tmp_path, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000002", "step-00000010"]
    saved = load_checkpoint(tmp_path)
    assert (saved.step, saved.facts, saved.tensors["weight"].tolist(), saved.skipped) == (10, {"seed": 3}, [10.0] * 4, ())


@pytest.mark.parametrize("file", ["state.safetensors", "facts.json"])
def test_one_flipped_bit_falls_back_and_says_so(tmp_path: Path, file: str, caplog: pytest.LogCaptureFixture) -> None:
    _save(tmp_path, 1)
    damaged = _save(tmp_path, 2)
    content = bytearray((damaged / file).read_bytes())
    content[-1] ^= 1
    (damaged / file).write_bytes(content)
    saved = load_checkpoint(tmp_path)
    assert saved.step == 1
    assert saved.skipped == (damaged,)
    assert "damaged" in caplog.text
    assert str(damaged) in caplog.text


@pytest.mark.parametrize("harm", ["truncated", "no manifest", "no state", "empty manifest", "odd manifest"])
def test_incomplete_checkpoints_are_skipped(tmp_path: Path, harm: str) -> None:
    _save(tmp_path, 1)
    damaged = _save(tmp_path, 2)
    if harm == "truncated":
        content = (damaged / "state.safetensors").read_bytes()
        (damaged / "state.safetensors").write_bytes(content[:-3])
    elif harm == "no manifest":
        (damaged / "manifest.json").unlink()
    elif harm == "no state":
        (damaged / "state.safetensors").unlink()
    else:
        (damaged / "manifest.json").write_text("" if harm == "empty manifest" else json.dumps([1]))
    assert load_checkpoint(tmp_path).step == 1


def test_nothing_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path)
    (_save(tmp_path, 1) / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="1 damaged"):
        load_checkpoint(tmp_path)


def test_a_damaged_step_is_replaced_when_it_is_reached_again(tmp_path: Path) -> None:
    _save(tmp_path, 1)
    (_save(tmp_path, 2) / "manifest.json").unlink()
    _save(tmp_path, 2)
    assert load_checkpoint(tmp_path).step == 2


def test_leftovers_of_a_killed_save_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".writing-abc").mkdir()
    (tmp_path / ".writing-abc" / "state.safetensors").write_bytes(b"half")
    _save(tmp_path, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]


def test_a_single_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="keep >= 2"):
        save_checkpoint(tmp_path, 1, {}, {}, keep=1)
