"""What a source hands to preparation: one series of a corpus, before anything was read."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vol3d.contracts import LabelMap
from vol3d.errors import ConfigError
from vol3d.volume.volume import Volume

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")


@dataclass(frozen=True)
class MaskFile:
    """A mask beside a scan: a label map with names, or one binary mask of one structure."""

    path: str
    names: Mapping[int, str]


@dataclass(frozen=True)
class Item:
    """One series.

    Args:
        key: unique within the corpus and safe as a file name; the store's key.
        study, patient: groups that must not be torn apart by a split.
        path: file or folder, relative to the corpus' root.
        modality: where the corpus knows it.
        findings, impression, technique: report sections.
        labels: 0 or 1 by label name.
        split: the corpus' own split, else `""`.
        masks: masks on the scan's grid.
        reading: what the loader must know (`assume_orientation`, `slope`, `intercept`, `spacing_mm`).
        problem: why this series cannot be used, where the tables already say so: `(code, message)`.
        synthetic: made by a computer, wholly or in part.
    """

    key: str
    study: str
    patient: str
    path: str
    modality: str | None = None
    findings: str = ""
    impression: str = ""
    technique: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)
    split: str = ""
    masks: tuple[MaskFile, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    problem: tuple[str, str] | None = None
    synthetic: bool = False

    def __post_init__(self) -> None:
        if not _SAFE.match(self.key):
            raise ConfigError("a series key must be safe as a file name", expected="letters, digits, . _ -", found=self.key)


@dataclass(frozen=True)
class Loaded:
    """Voxels of an item, with masks where the source makes them itself, and the item where only reading tells its text."""

    volume: Volume
    labels: LabelMap | None = None
    item: Item | None = None


Loader = Callable[[Path, Item], Loaded]


@dataclass(frozen=True)
class Source:
    """A corpus: where it comes from, on what terms, how many series it should have, and how its folder is read.

    Args:
        name: as typed in `vol3d prep NAME ROOT STORE`.
        title, licence, citation: in words; the licence goes into every row.
        expected: counts of the published corpus by name (`series`, `patients`, `train`, ...); empty for a user's own folder.
        list_items: the items of a folder, in a fixed order.
        load: reads one item's voxels; None for any format that `vol3d.read_volume` reads.
    """

    name: str
    title: str
    licence: str
    citation: str
    expected: Mapping[str, int]
    list_items: Callable[[Path], Iterable[Item]]
    load: Loader | None = None


def safe_key(text: str) -> str:
    """A key from any text: what is not allowed becomes `_`.

    >>> safe_key("case 1/T1 (post).nii.gz")
    'case_1_T1__post_'
    """
    stem = re.sub(r"(\.nii)?(\.gz)?\Z|\.nrrd\Z|\.mha\Z|\.npz\Z|\.npy\Z", "", text)
    cleaned = re.sub(r"[^A-Za-z0-9._-]", "_", stem).lstrip("._-")
    return cleaned[:200] or "series"
