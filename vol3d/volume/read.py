"""Any scan file or folder in, one checked `Volume` out. The format is known by its content; each has its own file."""

import stat
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

import numpy as np

from vol3d.errors import ConfigError, IntensityError, VolumeError
from vol3d.volume.checks import check_affine, check_finite, check_labels, compact
from vol3d.volume.files import HEAD_BYTES, advice_for, open_regular, what_is_it
from vol3d.volume.inflate import Inflated
from vol3d.volume.judge import MAX_VOXELS, Judge
from vol3d.volume.modality import clamp_padding, decide
from vol3d.volume.nifti_header import is_nifti
from vol3d.volume.stored import ReadOptions, Stored
from vol3d.volume.volume import Modality, Volume

NanPolicy = Literal["refuse", "fill"]
_Reader = Callable[[Path, ReadOptions, Judge], Stored]


def read_volume(
    path: str | Path,
    *,
    modality: Modality | None = None,
    volume_index: int | None = None,
    nan_policy: NanPolicy = "refuse",
    assume_orientation: str | None = None,
    max_voxels: int = MAX_VOXELS,
    accept: Collection[str] = (),
) -> Volume:
    """Read NIfTI, NRRD, MHA/MHD, Zarr, or a folder of one DICOM series, as stored (`.canonical()` turns it to RAS).

    Args:
        path: file or folder.
        modality: what the scan is, where the file does not say and the guess would be wrong.
        volume_index: which volume of a 4D file.
        nan_policy: `refuse` NaN and infinity, or `fill` them with the darkest value.
        assume_orientation: directions of x, y, z for a header that has no transform (`RAS`, `LPS`).
        max_voxels: refuse headers that declare more, before anything is allocated.
        accept: codes of doubts to overrule, from `vol3d.volume.judge.ACCEPTABLE`.

    Raises:
        VolumeError, GeometryError, IntensityError, ResourceError: with what was expected, what was found, what to do.

    >>> import tempfile
    >>> from vol3d.volume.geometry import make_affine
    >>> from vol3d.volume.write import write_volume
    >>> v = Volume(np.arange(8000, dtype=np.int16).reshape(20, 20, 20), make_affine((2, 1, 1)), "MR", "a.u.")
    >>> file = Path(tempfile.mkdtemp()) / "scan.nii.gz"
    >>> write_volume(v, file)
    >>> read_volume(file).spacing_mm
    (2.0, 1.0, 1.0)
    """
    if nan_policy not in ("refuse", "fill"):
        raise ConfigError("no such nan_policy", expected="refuse or fill", found=nan_policy)
    if modality not in (None, "CT", "MR", "unknown"):
        raise ConfigError("no such modality", expected="CT, MR or unknown", found=modality)
    judge = Judge(str(path), accept)
    stored = _read_stored(Path(path), ReadOptions(volume_index=volume_index, assume_orientation=assume_orientation, max_voxels=max_voxels), judge)
    affine = check_affine(stored.affine, stored.array.shape, judge)
    facts = dict(stored.facts)
    array = stored.array
    if isinstance(array, np.ndarray):
        array, kind = _check_intensities(stored, modality, nan_policy, facts, judge)
    else:
        # A Zarr store stays on disk; what stands in it went through these checks when it was written.
        kind = modality or stored.modality or "unknown"
    return Volume(array, affine, kind, "HU" if kind == "CT" else "a.u.", str(path), facts, tuple(judge.notices))


def read_mask(path: str | Path, *, assume_orientation: str | None = None, max_voxels: int = MAX_VOXELS, accept: Collection[str] = ()) -> Volume:
    """Read a label map: whole numbers from 0 on in the smallest unsigned type, nothing else is asked of the values.

    An empty mask is a valid result. Names of labels that this toolkit wrote stand in `header["label_names"]`.

    Raises:
        VolumeError, GeometryError, IntensityError, ResourceError: as for `read_volume`.
    """
    judge = Judge(str(path), accept)
    stored = _read_stored(Path(path), ReadOptions(assume_orientation=assume_orientation, max_voxels=max_voxels), judge)
    affine = check_affine(stored.affine, stored.array.shape, judge)
    array = check_labels(np.asarray(stored.array[...]), judge)
    return Volume(array, affine, "unknown", "a.u.", str(path), dict(stored.facts), tuple(judge.notices))


def _check_intensities(
    stored: Stored, given: Modality | None, nan_policy: NanPolicy, facts: dict[str, object], judge: Judge
) -> tuple[np.ndarray, Modality]:
    array = compact(check_finite(stored.array, nan_policy, judge), judge)
    low, high = array.min(), array.max()
    if low == high:
        judge.refuse_unless_accepted(
            IntensityError,
            "constant",
            f"all voxels have the same value {low:g}",
            expected="a scan",
            hint="The file was not written completely, or it is an empty mask.",
        )
    kind = decide(array, declared=stored.modality, given=given, judge=judge)
    facts["modality_from"] = "user" if given else "file" if stored.modality else "values"
    if kind == "CT":
        array, padding = clamp_padding(array, judge)
        if padding is not None:
            facts["padding_value"] = padding
    return array, kind


def _read_stored(path: Path, options: ReadOptions, judge: Judge) -> Stored:
    return _reader_for(path, judge)(path, options, judge)


def _reader_for(path: Path, judge: Judge) -> _Reader:
    """Pick the format's reader by content. Imports wait until here: most runs meet one format only."""
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        is_folder = False  # `open_regular` says what is wrong with it.
    if is_folder:
        return _folder_reader(path)
    head = _head(path)
    if is_nifti(head):
        from vol3d.volume.nifti import read_nifti

        return read_nifti
    if head.startswith(b"NRRD0"):
        from vol3d.volume.nrrd import read_nrrd

        return read_nrrd
    if head.startswith((b"ObjectType", b"NDims", b"Comment")):
        from vol3d.volume.metaimage import read_metaimage

        return read_metaimage
    if head[128:132] == b"DICM":
        judge.refuse(VolumeError, "this is a single DICOM file", expected="the folder of its series", hint="Give the folder that holds all slices.")
    kind = what_is_it(head)
    judge.refuse(VolumeError, f"this is no scan but {kind}", hint=advice_for(kind))


def _folder_reader(path: Path) -> _Reader:
    if (path / "zarr.json").exists():
        from vol3d.volume.store import read_store

        return read_store
    from vol3d.volume.dicom import read_dicom

    return read_dicom


def _head(path: Path) -> bytes:
    """The first bytes, unpacked where they are gzip."""
    with open_regular(path) as file:
        head = file.read(HEAD_BYTES)
        if head[:2] != b"\x1f\x8b":
            return head
        file.seek(0)
        # A damaged stream is refused here already; a short one just gives fewer bytes.
        return Inflated(file, str(path)).peek(HEAD_BYTES)
