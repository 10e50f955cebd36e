"""A prepared store with lesions inserted into its scans: each series with masks gives `per_scan` new ones, all marked synthetic.

The root is a store; `lesions.json` in it may say `{"per_scan": 1, "lesions": 1, "seed": 0, "kind": null}`.
"""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.item import Item, Loaded, Source
from data_prep.synthesis.insert import Inserted, draw_plan, insert_lesion
from data_prep.synthesis.kinds import find_kind
from data_prep.tables import read_json
from vol3d.contracts import LabelMap
from vol3d.errors import GeometryError
from vol3d.volume.judge import ACCEPTABLE
from vol3d.volume.manifest import mask_key, read_manifest
from vol3d.volume.read import read_mask, read_volume
from vol3d.volume.volume import Volume

_DEFAULTS = {"per_scan": 1, "lesions": 1, "seed": 0, "kind": None}
_TRIES = 20


def list_items(root: Path) -> Iterator[Item]:
    """CT series with masks, each `per_scan` times; splits and patients are those of the originals."""
    settings = {**_DEFAULTS, **(read_json(root / "lesions.json") if (root / "lesions.json").is_file() else {})}
    for row in read_manifest(root):
        if row.modality != "CT" or not (root / mask_key(row)).is_dir():
            continue
        for number in range(int(settings["per_scan"])):
            reading = {"number": number, "mask": mask_key(row), **{k: settings[k] for k in ("lesions", "seed", "kind")}}
            key = f"{row.series}_lesion{number}"
            # The report of the original may deny what is inserted: it does not go along.
            yield Item(key, row.study, row.patient, row.path, "CT", labels=dict(row.labels), split=row.split, reading=reading, synthetic=True)


def load(root: Path, item: Item) -> Loaded:
    """Insert the lesions of an item; the seed and the item's name decide all."""
    settings = item.reading
    rng = np.random.default_rng([int(settings["seed"]), int(settings["number"]), zlib.crc32(item.key.encode())])
    volume = read_volume(root / item.path, modality="CT", accept=tuple(ACCEPTABLE))
    masks = read_mask(root / settings["mask"], accept=tuple(ACCEPTABLE))
    names = {int(i): str(name) for i, name in masks.header["label_names"].items()}
    labels = LabelMap(masks.numpy(), masks.affine, names, item.path, "corpus", "1")
    volume = volume.with_array(volume.numpy())
    sentences, positive = [], dict(item.labels)
    for _ in range(int(settings["lesions"])):
        made = _insert(volume, labels, rng, settings["kind"])
        volume, labels = made.volume, made.labels
        sentences.append(made.sentence)
        if label := find_kind(made.plan.kind).label:
            positive[label] = 1
    return Loaded(volume, labels, replace(item, findings=" ".join(sentences), labels=positive))


def _insert(volume: Volume, labels: LabelMap, rng: np.random.Generator, kind: str | None) -> Inserted:
    """Try plans until one fits; small hosts cannot carry every size that is drawn."""
    problem: GeometryError | None = None
    for _ in range(_TRIES):
        try:
            return insert_lesion(volume, labels, draw_plan(labels, rng, kind=kind), rng)
        except GeometryError as error:
            problem = error
    assert problem is not None
    raise problem


SOURCE = Source(
    name="synthetic_lesions",
    title="lesions inserted into real scans (synthetic)",
    licence="that of the scans",
    citation="after Hu et al., Label-free liver tumor segmentation, CVPR 2023",
    expected={},
    list_items=list_items,
    load=load,
)
