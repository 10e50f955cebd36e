"""Training states on disk: whole or not there, verified on reading, the last good one found after a crash.

`folder/step-00000100/` holds `state.safetensors`, `facts.json` and `manifest.json` (SHA-256 of both). It is written under
another name, flushed, and renamed; a kill at any instant leaves the previous one.
"""

import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vol3d.errors import CheckpointError

logger = logging.getLogger(__name__)

_STATE, _FACTS, _MANIFEST = "state.safetensors", "facts.json", "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """A verified training state; `skipped` are newer ones that were damaged."""

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    skipped: tuple[Path, ...] = ()


def save_checkpoint(folder: str | Path, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, keep: int = 2) -> Path:
    """Write one state and delete all but the newest `keep`; at least 2 are kept, so that one bad block cannot cost the run.

    >>> import tempfile, torch
    >>> where = tempfile.mkdtemp()
    >>> _ = save_checkpoint(where, 3, {"a": torch.ones(2)}, {"seed": 1})
    >>> load_checkpoint(where).step, load_checkpoint(where).facts
    (3, {'seed': 1})
    """
    if keep < 2:
        raise CheckpointError("too few checkpoints would be kept", expected="keep >= 2", found=keep)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    final, work = folder / f"step-{step:08d}", folder / f".writing-{secrets.token_hex(6)}"
    work.mkdir()
    try:
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, work / _STATE)
        (work / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
        manifest = {"step": step, "sha256": {name: _sha256(work / name) for name in (_STATE, _FACTS)}}
        (work / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        for path in work.iterdir():
            _flush(path)
        _flush(work)
        if final.exists():
            # Only a damaged one can stand here: a run that fell back reaches the same step again.
            shutil.rmtree(final)
        work.rename(final)
        _flush(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _prune(folder, keep)
    return final


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """The newest state that is whole; damaged newer ones are skipped with a warning.

    Raises CheckpointError where there is none.
    """
    folder, skipped = Path(folder), []
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            step, tensors, facts = _read(path)
        except CheckpointError as error:
            logger.warning("skipped a damaged checkpoint: %s", error)
            skipped.append(path)
            continue
        if skipped:
            logger.warning("going on from %s instead of %s", path, skipped[0])
        return Checkpoint(step, tensors, facts, tuple(skipped))
    found = f"{len(skipped)} damaged" if skipped else "none"
    raise CheckpointError("no checkpoint to resume from", path=folder, expected="a folder step-*", found=found, hint="Start without --resume.")


def _read(path: Path) -> tuple[int, dict[str, Tensor], dict[str, Any]]:
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        for name, expected in manifest["sha256"].items():
            if _sha256(path / name) != expected:
                raise CheckpointError("a file is not what was saved", path=path / name, expected=f"sha256 {expected[:12]}")
        return int(manifest["step"]), load_file(path / _STATE), json.loads((path / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError("not a whole checkpoint", path=path, found=f"{type(error).__name__}: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Bring a file or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _prune(folder: Path, keep: int) -> None:
    for old in sorted(folder.glob("step-*"), reverse=True)[keep:]:
        shutil.rmtree(old)
    for leftover in folder.glob(".writing-*"):
        shutil.rmtree(leftover, ignore_errors=True)
