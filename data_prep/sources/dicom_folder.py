"""A folder of DICOM studies, in any depth of subfolders: one item per series, found by the headers.

Patients and studies get pseudonyms (a hash of their identifiers); no name, date or identifier goes into the store. For the
files themselves see `data_prep.deidentify`.
"""

import contextlib
import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.item import Item, Loaded, Source
from vol3d.errors import VolumeError
from vol3d.extras import require
from vol3d.volume.read import read_volume

_TAGS = ["PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "ImageType"]
_MODALITIES = {"CT": "CT", "MR": "MR"}


def list_items(root: Path) -> Iterator[Item]:
    """Series of CT and MR; localizers, reports and other objects are passed over."""
    pydicom = require("pydicom", extra="dicom")
    series: dict[str, list[Path]] = defaultdict(list)
    headers: dict[str, Any] = {}
    damaged: list[tuple[Path, str]] = []
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        try:
            header = _header(path, pydicom)
        except VolumeError as error:
            damaged.append((path, str(error.found)))
            continue
        if (
            header is None
            or header.get("Modality") not in _MODALITIES
            or "LOCALIZER" in [str(v).upper() for v in header.get("ImageType", None) or []]
        ):
            continue
        uid = str(header.get("SeriesInstanceUID", path.parent))
        series[uid].append(path)
        headers[uid] = header
    for uid in sorted(series, key=lambda u: series[u][0]):
        yield _item(uid, series[uid], headers[uid], root)
    for path, why in damaged:
        key = f"file_{pseudonym(path.relative_to(root).as_posix())}"
        yield Item(key=key, study=key, patient=key, path=path.relative_to(root).as_posix(), problem=("damaged_file", f"a damaged DICOM file: {why}"))


def _item(uid: str, files: list[Path], header: Any, root: Path) -> Item:
    folders = {file.parent for file in files}
    folder = files[0].parent
    alone = len(folders) == 1 and sum(1 for f in folder.iterdir() if f.is_file()) == len(files)
    identity = str(header.get("PatientID", "")) or str(header.get("PatientName", ""))
    key = f"series_{pseudonym(uid)}"
    return Item(
        key=key,
        study=f"study_{pseudonym(str(header.get('StudyInstanceUID', uid)))}",
        patient=f"patient_{pseudonym(identity)}" if identity else key,
        path=folder.relative_to(root).as_posix(),
        modality=_MODALITIES[str(header.Modality)],
        reading={} if alone else {"files": tuple(f.relative_to(root).as_posix() for f in files)},
    )


def load(root: Path, item: Item) -> Loaded:
    """The series; where its folder holds others too, its files are first linked into a folder of their own."""
    files = item.reading.get("files")
    if not files:
        return Loaded(_named(root / item.path, item))
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(files):
            (Path(folder) / f"{number:06d}.dcm").symlink_to((root / name).resolve())
        return Loaded(_named(Path(folder), item))


def _named(folder: Path, item: Item) -> Any:
    volume = read_volume(folder, modality=item.modality)  # type: ignore[arg-type]
    return volume.with_array(volume.array, source=item.key)  # folder names may hold patients' names


def pseudonym(identifier: str) -> str:
    """Twelve hexadecimal digits that stand for an identifier.

    Short identifiers can be found again by trying them all: this keeps names out of the store, it does not make it anonymous.

    >>> pseudonym("1.2.3")
    'c47f5b18b8a4'
    """
    return hashlib.sha256(identifier.encode()).hexdigest()[:12]


def _header(path: Path, pydicom: Any) -> Any:
    with contextlib.suppress(OSError):
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return None
        try:
            return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        except Exception as error:
            raise VolumeError("a damaged DICOM file", path=path, found=str(error)) from error
    return None


SOURCE = Source(
    name="dicom_folder",
    title="a folder of DICOM studies",
    licence="yours",
    citation="",
    expected={},
    list_items=list_items,
    load=load,
)
