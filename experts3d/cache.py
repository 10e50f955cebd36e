"""Label maps kept on disk, keyed by what they depend on: the scan's voxels and grid, expert, version, weights, targets.

Safe under parallel runs: whoever comes second waits for the first and then reads its result; files appear whole or not at all. A damaged entry
counts as missing.
"""

import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from vol3d.cache import cache_folder
from vol3d.contracts import ExpertCard, LabelMap, Status
from vol3d.errors import ResourceError
from vol3d.volume.atomic import atomic_path
from vol3d.volume.volume import Volume

logger = logging.getLogger(__name__)

_LAYOUT = 1


def scan_key(volume: Volume) -> str:
    """A hash of voxels, grid, modality and unit: two files with the same content are the same scan.

    >>> a = Volume(np.zeros((2, 2, 2), np.int16), np.eye(4), "CT", "HU", source="a")
    >>> scan_key(a) == scan_key(Volume(a.array.copy(), np.eye(4), "CT", "HU", source="b"))
    True
    """
    array = np.ascontiguousarray(volume.numpy())
    digest = hashlib.blake2b(digest_size=20)
    digest.update(f"{array.shape} {array.dtype.str} {volume.modality} {volume.unit}".encode())
    digest.update(np.round(volume.affine, 4).astype("<f8").tobytes())
    digest.update(array.view(np.uint8).reshape(-1).data)
    return digest.hexdigest()


def entry_key(scan: str, card: ExpertCard, targets: Sequence[str]) -> str:
    """The name of a cache entry."""
    facts = json.dumps([_LAYOUT, scan, card.name, card.version, card.weights, sorted(targets)])
    return hashlib.blake2b(facts.encode(), digest_size=20).hexdigest()


class LabelCache:
    """A folder of label maps.

    Args:
        folder: where; None: `experts` in the user's cache folder.
        wait_seconds: how long to wait for another process that makes the same label map.

    """

    def __init__(self, folder: str | Path | None = None, *, wait_seconds: float = 600.0) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder() / "experts"
        self.wait_seconds = wait_seconds

    def get_or_make(self, key: str, make: Callable[[], LabelMap], *, source: str = "") -> tuple[LabelMap, bool]:
        """The entry, and whether it was there; `make` runs at most once over all processes. A folder that cannot be written only costs time."""
        path = self.folder / f"{key}.npz"
        if (found := _read(path, source)) is not None:
            return found, True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(str(path) + ".lock", timeout=self.wait_seconds):
                if (found := _read(path, source)) is not None:
                    return found, True
                made = make()
                self._keep(path, made)
                return made, False
        except Timeout:
            logger.warning("another process has held %s for over %.0f s; working without the cache", path.name, self.wait_seconds)
        except PermissionError as error:
            logger.warning("no label cache: %s", error)
        return make(), False

    def _keep(self, path: Path, labels: LabelMap) -> None:
        try:
            _write(path, labels)
        except (OSError, ResourceError) as error:
            logger.warning("the label map could not be cached: %s", error)


def _write(path: Path, labels: LabelMap) -> None:
    facts = {
        "names": {str(i): name for i, name in labels.names.items()},
        "unions": {name: list(ids) for name, ids in labels.unions.items()},
        "statuses": {name: str(status) for name, status in labels.statuses.items()},
        "reasons": dict(labels.reasons),
        "notices": list(labels.notices),
        "expert": labels.expert,
        "version": labels.version,
    }
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, array=labels.array, affine=labels.affine, facts=text)


def _read(path: Path, source: str) -> LabelMap | None:
    if not path.is_file():
        return None
    if not zipfile.is_zipfile(path):
        logger.warning("the cached label map %s is damaged and will be made again", path.name)
        return None
    try:
        with np.load(path, allow_pickle=False) as entry:
            facts = json.loads(entry["facts"].tobytes())
            return LabelMap(
                entry["array"],
                entry["affine"],
                {int(i): name for i, name in facts["names"].items()},
                source,
                facts["expert"],
                facts["version"],
                {name: Status(status) for name, status in facts["statuses"].items()},
                {name: tuple(ids) for name, ids in facts["unions"].items()},
                facts["reasons"],
                tuple(facts.get("notices", ())),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("the cached label map %s is damaged and will be made again: %s", path.name, error)
        return None
