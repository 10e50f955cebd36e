"""Phantoms as a corpus: procedural CTs with exact masks, reports and labels; for tests, demos and pretraining without patients.

The root holds `phantoms.json`: `{"num": 8, "seed": 0, "shape_zyx": [96, 128, 128], "spacing_mm": [3, 3, 3]}` (all optional).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from data_prep.item import Item, Loaded, Source
from data_prep.tables import read_json
from vol3d.volume.phantom import phantom_ct

_DEFAULTS = {"num": 8, "seed": 0, "shape_zyx": [96, 128, 128], "spacing_mm": [3.0, 3.0, 3.0], "region": "chest_abdomen"}


def list_items(root: Path) -> Iterator[Item]:
    """As many phantoms as the settings say."""
    file = root / "phantoms.json"
    settings = {**_DEFAULTS, **(read_json(file) if file.is_file() else {})}
    for number in range(int(settings["num"])):
        seed = int(settings["seed"]) + number
        key = f"phantom_{seed:06d}"
        reading = {"seed": seed, **{k: settings[k] for k in ("shape_zyx", "spacing_mm", "region")}}
        yield Item(key=key, study=key, patient=key, path="", modality="CT", reading=reading, synthetic=True)


def load(root: Path, item: Item) -> Loaded:
    """Make the phantom of an item."""
    settings = item.reading
    made = phantom_ct(settings["seed"], shape_zyx=tuple(settings["shape_zyx"]), spacing_mm=tuple(settings["spacing_mm"]), region=settings["region"])
    item = replace(item, findings=made.findings, impression=made.impression, labels=dict(made.report_labels))
    return Loaded(made.volume, made.labels, item)


SOURCE = Source(
    name="phantom",
    title="procedural phantoms",
    licence="Apache-2.0",
    citation="",
    expected={},
    list_items=list_items,
    load=load,
)
