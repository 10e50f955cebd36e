"""A prepared corpus as tokens, encoded once: `tokens/<tokenizer>/<recipe and grid>/<series>.safetensors` in its store.

The folder's name says which tokenizer and which intensities made the tokens, so that several can stand side by side; each file
carries the hash of the voxels that it was made from, and is made again where that changed.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import vol3d
from tokenizers3d.errors import CheckpointError
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.tokens import read_tokens, write_tokens
from vol3d.contracts import Row
from vol3d.errors import Vol3dError
from vol3d.volume.intensity import fit_recipe, normalize, recipe_for
from vol3d.volume.judge import ACCEPTABLE
from vol3d.volume.manifest import read_manifest
from vol3d.volume.read import read_volume
from vol3d.volume.resample import resample

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodeOptions:
    """How scans become tokens; all of it is part of the key.

    Args:
        recipe: intensity recipe; None picks by modality.
        spacing_mm: z y x to resample to; None keeps each scan's grid.
        mode: `stream` or `windowed`; None as the tokenizer was trained.
    """

    recipe: str | None = None
    spacing_mm: tuple[float, float, float] | None = None
    mode: str | None = None


@dataclass(frozen=True)
class Encoded:
    """What a run did: series encoded now, found done, and failed with the reason."""

    key: str
    made: int
    kept: int
    failed: dict[str, str]


def tokens_key(tokenizer_id: str, options: EncodeOptions) -> str:
    """The folder of a way of encoding.

    >>> tokens_key("small:8x8x8", EncodeOptions(recipe="ct_wide", spacing_mm=(1.5, 0.75, 0.75)))
    'small_8x8x8/ct_wide-1.5x0.75x0.75mm'
    """
    grid = "x".join(f"{s:g}" for s in options.spacing_mm) + "mm" if options.spacing_mm else "own-grid"
    parts = [options.recipe or "by-modality", grid, *([options.mode] if options.mode else [])]
    return re.sub(r"[^A-Za-z0-9._-]", "_", tokenizer_id) + "/" + "-".join(parts)


def tokens_path(store: str | Path, row: Row, key: str) -> Path:
    """Where the tokens of a series stand."""
    return Path(store) / "tokens" / key / f"{row.series}.safetensors"


def encode_store(
    store: str | Path,
    tokenizer: Tokenizer,
    options: EncodeOptions = EncodeOptions(),
    *,
    split: str | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Encoded:
    """Encode every series that was not yet encoded from these very voxels; a series that fails is named, and the rest goes on."""
    store = Path(store)
    key = tokens_key(tokenizer.tokenizer_id, options)
    made, kept, failed = 0, 0, {}
    for row in read_manifest(store, split=split):
        target = tokens_path(store, row, key)
        if _is_done(target, row):
            kept += 1
        else:
            try:
                _encode(store, row, tokenizer, options, target)
                made += 1
            except Vol3dError as error:
                failed[row.series] = str(error)
        if progress:
            progress(1, row.series)
    logger.info("encoded %d series into %s, %d were there", made, key, kept)
    return Encoded(key, made, kept, failed)


def _is_done(path: Path, row: Row) -> bool:
    if not path.exists():
        return False
    try:
        return read_tokens(path)[1].get("sha256") == row.sha256
    except CheckpointError:
        return False


def _encode(store: Path, row: Row, tokenizer: Tokenizer, options: EncodeOptions, target: Path) -> None:
    volume = read_volume(store / row.path, modality=row.modality, accept=tuple(ACCEPTABLE))
    if options.spacing_mm:
        volume = resample(volume, spacing_mm=options.spacing_mm)
    array = volume.numpy()
    recipe = fit_recipe(options.recipe or recipe_for(volume), array)
    voxels = torch.from_numpy(normalize(array, recipe))[None, None].to(tokenizer.device, tokenizer.dtype)
    with torch.inference_mode():
        grid = tokenizer.encode(voxels, options.mode, affine=volume.affine)  # type: ignore[arg-type]
    provenance: dict[str, Any] = {
        "series": row.series,
        "sha256": row.sha256,
        "intensity": {"name": recipe.name, "low": recipe.low, "high": recipe.high},
        "spacing_mm_zyx": volume.spacing_mm,
        "dtype": str(tokenizer.dtype),
        "vol3d": vol3d.__version__,
        "synthetic": row.synthetic,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_tokens(target, grid, provenance=provenance)
