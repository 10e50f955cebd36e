"""One item -> checked voxels in the store, its masks beside it, and a record; or a record that says why not.

The record is written last: an item without a record was not finished, and is done again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import vol3d
from data_prep.check import fingerprint, intensities, liver_side, looks_mirrored
from data_prep.item import Item, Loaded, Loader, MaskFile
from data_prep.reasons import reason_of
from vol3d.contracts import LabelMap, Row
from vol3d.errors import GeometryError, IntensityError, Vol3dError
from vol3d.volume.atomic import atomic_path
from vol3d.volume.geometry import require_same_grid, to_canonical
from vol3d.volume.modality import guess
from vol3d.volume.presets import lost_by
from vol3d.volume.read import read_mask, read_volume
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_labels, write_volume

_SCHEMA = 1
_INT16 = np.iinfo(np.int16)
_BOXES = ("ct_clip", "ct2rep", "merlin")


@dataclass(frozen=True)
class Options:
    """How items are converted; part of what decides whether an item must be done again.

    Args:
        licence: goes into every row.
        accept: codes of doubts to overrule (`mirrored`, and those of `vol3d.volume.judge.ACCEPTABLE`).
        nan_policy: `refuse` or `fill`.
        pseudonyms: keys, studies and patients become hashes.
    """

    licence: str = ""
    accept: tuple[str, ...] = ()
    nan_policy: str = "refuse"
    pseudonyms: bool = False


@dataclass(frozen=True)
class Record:
    """What became of one item; JSON in `records/`."""

    key: str
    status: str  # stored, quarantined
    inputs: str
    row: Mapping[str, Any] | None = None
    reason: str = ""
    message: str = ""
    checks: Mapping[str, Any] = field(default_factory=dict)


def convert(item: Item, root: Path, store: Path, options: Options, load: Loader | None = None) -> Record:
    """Convert one item, unless a record says that this was done with the same inputs."""
    inputs = inputs_hash(item, root, options)
    target = record_path(store, item.key)
    if (known := read_record(target)) is not None and known.inputs == inputs:
        return known
    try:
        record = _convert(item, root, store, options, load, inputs)
    except (Vol3dError, OSError) as error:
        record = Record(item.key, "quarantined", inputs, reason=reason_of(error), message=_shown(error, item, root, options))
    except Exception as error:  # noqa: BLE001 - one broken study must not end the run, and must not vanish either
        record = Record(
            item.key, "quarantined", inputs, reason="unexpected_error", message=f"{type(error).__name__}: {_shown(error, item, root, options)}"
        )
    write_record(store, record)
    return record


def _convert(item: Item, root: Path, store: Path, options: Options, load: Loader | None, inputs: str) -> Record:
    if item.problem is not None:
        return Record(item.key, "quarantined", inputs, reason=item.problem[0], message=item.problem[1])
    loaded = load(root, item) if load else Loaded(load_file(root, item, options))
    item, volume = loaded.item or item, to_stored(loaded.volume)
    volume = volume.with_array(volume.array, source=item.key)  # a file's name may hold a patient's
    side = liver_side(volume) if volume.modality == "CT" else None
    if looks_mirrored(side) and "mirrored" not in options.accept:
        raise GeometryError(
            "left and right look exchanged: the liver is on the patient's left",
            path=item.path,
            expected="the liver on the right",
            found=f"side index {side}",
            hint="Check the orientation. If the patient has situs inversus, accept it with --accept mirrored.",
        )
    labels = _canonical_labels(loaded.labels) if loaded.labels else merge_masks(item.masks, root, volume)
    write_volume(volume, volume_path(store, item.key))
    if labels is not None:
        write_labels(labels, mask_path(store, item.key))
    checks = {
        "intensities": intensities(volume).as_dict(),
        "liver_side": side,
        "fingerprint": fingerprint(volume).tobytes().hex(),
        "lost": {name: round(lost_by(volume, name), 4) for name in _BOXES} if volume.modality == "CT" else {},
        "notices": [notice.code for notice in volume.notices],
        "has_masks": labels is not None,
    }
    return Record(item.key, "stored", inputs, row=_row(item, volume, options).model_dump(mode="json"), checks=checks)


def load_file(root: Path, item: Item, options: Options = Options()) -> Volume:
    """Any file that `read_volume` reads; slope, intercept and spacing of `item.reading` are applied to what lacks them.

    A CT that is already in HU is never rescaled: the values decide, not the folder's name.
    """
    reading = dict(item.reading)
    slope, intercept, spacing = reading.pop("slope", None), reading.pop("intercept", None), reading.pop("spacing_mm", None)
    accept = tuple(code for code in options.accept if code != "mirrored")
    given = "unknown" if slope is not None else item.modality
    volume = read_volume(root / item.path, modality=given, nan_policy=options.nan_policy, accept=accept, **reading)  # type: ignore[arg-type]
    if spacing is not None:
        volume = _with_spacing(volume, tuple(spacing))
    if slope is not None:
        volume = _to_hounsfield(volume, float(slope), float(intercept), item.path)
    return volume


def _with_spacing(volume: Volume, spacing_mm: tuple[float, ...]) -> Volume:
    """Another voxel size for a header that has none."""
    affine = volume.affine.copy()
    affine[:3, :3] *= np.array(spacing_mm) / np.linalg.norm(affine[:3, :3], axis=0)
    return volume.with_array(volume.array, affine=affine)


def _to_hounsfield(volume: Volume, slope: float, intercept: float, path: str) -> Volume:
    found = guess(volume.numpy())
    if found.modality == "CT" and found.shift == 0:
        return volume.with_array(volume.array, modality="CT", unit="HU")
    if found.modality == "CT" and found.shift < 0:
        raise IntensityError("this CT looks rescaled twice", path=path, expected="air near -1000 HU", found=f"air near {-1000 + found.shift:g}")
    array = volume.numpy().astype(np.float32) * slope + intercept
    after = guess(array)
    if after.modality != "CT" or after.shift != 0:
        raise IntensityError(
            "slope and intercept of the table do not lead to Hounsfield units",
            path=path,
            expected="air near -1000 HU, water near 0",
            found=f"slope {slope:g}, intercept {intercept:g}, off by {after.shift:g}",
        )
    return volume.with_array(array, modality="CT", unit="HU")


def to_stored(volume: Volume) -> Volume:
    """Canonical order and the stored type: int16 for CT, rounded and saturated, never truncated or wrapped."""
    scan = volume.canonical()
    array = scan.numpy()
    if volume.modality == "CT" and array.dtype != np.int16:
        array = np.clip(np.rint(array), _INT16.min, _INT16.max).astype(np.int16)
    elif array.dtype == np.float64:
        array = array.astype(np.float32)
    return scan.with_array(np.ascontiguousarray(array))


def merge_masks(masks: tuple[MaskFile, ...], root: Path, scan: Volume) -> LabelMap | None:
    """One label map of all mask files; later files lie over earlier ones (organs first, lesions last).

    Raises:
        GeometryError: a mask on another grid than the scan.
    """
    names: dict[int, str] = {}
    merged = np.zeros(scan.shape, np.uint16)
    for mask in masks:
        found = read_mask(root / mask.path).canonical()
        require_same_grid(scan.shape, scan.affine, found.shape, found.affine, path=mask.path)
        array = found.numpy()
        table = mask.names or {int(i): f"label_{i}" for i in np.unique(array) if i}
        for old, name in table.items():
            new = next((i for i, known in names.items() if known == name), len(names) + 1)
            names[new] = name
            merged[array == int(old)] = new
    return LabelMap(merged, scan.affine, names, scan.source, "corpus", vol3d.__version__) if masks else None


def _canonical_labels(labels: LabelMap) -> LabelMap:
    array, affine = to_canonical(labels.array, labels.affine)
    return replace(labels, array=np.ascontiguousarray(array), affine=affine)


def _row(item: Item, volume: Volume, options: Options) -> Row:
    return Row(
        study=item.study,
        patient=item.patient,
        series=item.key,
        path=f"volumes/{item.key}.zarr",
        modality=volume.modality,
        spacing_mm=volume.spacing_mm,
        shape=volume.shape,
        findings=item.findings,
        impression=item.impression,
        technique=item.technique,
        labels=dict(item.labels),
        split=item.split,
        licence=options.licence,
        sha256=content_hash(volume),
        synthetic=item.synthetic,
    )


def content_hash(volume: Volume) -> str:
    """SHA-256 of voxels, shape, type and grid: equal for equal scans, however they are stored."""
    digest = hashlib.sha256(f"{volume.shape}{np.dtype(volume.array.dtype).str}{np.round(volume.affine, 4).tolist()}".encode())
    digest.update(np.ascontiguousarray(volume.numpy()).data)
    return digest.hexdigest()


def inputs_hash(item: Item, root: Path, options: Options) -> str:
    """What the result depends on: the item, the sizes of its files, the options, the package's version."""
    sizes = [_size(root / path) for path in (item.path, *(mask.path for mask in item.masks)) if path]
    described = json.dumps([_SCHEMA, vol3d.__version__, asdict(item), sizes, asdict(options)], sort_keys=True, default=str)
    return hashlib.sha256(described.encode()).hexdigest()


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in sorted(path.rglob("*")) if file.is_file())
    return path.stat().st_size if path.is_file() else -1


def volume_path(store: Path, key: str) -> Path:
    """Where a scan stands."""
    return store / "volumes" / f"{key}.zarr"


def mask_path(store: Path, key: str) -> Path:
    """Where its masks stand."""
    return store / "masks" / f"{key}.zarr"


def record_path(store: Path, key: str) -> Path:
    """Where its record stands."""
    return store / "records" / f"{key}.json"


def write_record(store: Path, record: Record) -> None:
    """Write a record whole or not at all."""
    with atomic_path(record_path(store, record.key)) as temporary:
        temporary.write_text(json.dumps(asdict(record), ensure_ascii=False, indent=1), encoding="utf-8")


def read_record(path: Path) -> Record | None:
    """A record, or None where there is none that can be read."""
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _shown(error: Exception, item: Item, root: Path, options: Options) -> str:
    """A refusal in words, without our folders' names, and without file names where those shall not be kept."""
    text = str(error).replace(f"{root}/", "")
    for path in (item.path, *(mask.path for mask in item.masks)):
        if options.pseudonyms and path:
            text = text.replace(path, item.key)
    return text
