"""What `segment` and `measure` print: one JSON document with every measurement, or one table row per structure."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vol3d.contracts import LabelMap
    from vol3d.volume.volume import Volume

_COLUMNS = ("volume", "longest_axial_diameter", "perpendicular_diameter", "num_components", "mean_intensity", "side")


def measured_document(volume: "Volume", labels: "LabelMap", structures: Sequence[str]) -> dict[str, Any]:
    """Measure, derive, describe; as one JSON document."""
    from experts3d.contacts import contacts
    from experts3d.derive import derive
    from experts3d.describe import describe
    from experts3d.measure import measure
    from vol3d.contracts import DISCLAIMER

    measured = (*measure(volume, labels, structures), *contacts(labels, structures))
    numbers = (*measured, *derive(measured))
    found = {item.structure: str(item.status) for item in reversed(measured) if item.component is None and item.name == "volume"}
    statuses = {name: str(labels.statuses.get(name) or found.get(name, "not_covered")) for name in structures}
    return {
        "scan": volume.source,
        "spacing_mm_zyx": [float(step) for step in volume.spacing_mm],
        "expert": labels.expert,
        "version": labels.version,
        "measurements": [item.model_dump(mode="json") | {"id": item.id} for item in numbers],
        "statuses": statuses,
        "reasons": {name: why for name, why in labels.reasons.items() if name in structures},
        "notices": list(labels.notices),
        "sentences": [item.text for item in describe(volume, labels, numbers) if item.structure in structures],
        "disclaimer": DISCLAIMER,
    }


def print_document(document: dict[str, Any], args: argparse.Namespace) -> None:
    """The document as JSON, or as a table of whole structures and of lesions one by one."""
    from vol3d.cli.console import print_json, print_table

    if args.json:
        print_json(document)
        return
    rows: dict[tuple[str, int | None], dict[str, Any]] = {}
    for item in document["measurements"]:
        rows.setdefault((item["structure"], item["component"]), {})[item["name"]] = item["value"]
    columns = ("structure", "part", "ml", "longest mm", "across mm", "parts", "mean", "side", "cut off")
    table = []
    for (structure, component), values in rows.items():
        if "volume" in values:
            shown = [values.get(name) for name in _COLUMNS]
            table.append((structure, component or "all", *shown, "yes" if values.get("touches_border") else ""))
    print_table(columns, table, title=f"{document['scan']}: {document['expert']} {document['version']}")
    missing = [(name, status, document["reasons"].get(name, "")) for name, status in document["statuses"].items() if status != "found"]
    missing += [(name, "found", why) for name, why in document["reasons"].items() if document["statuses"].get(name) == "found"]
    if missing:
        print_table(("structure", "status", "why"), missing)
    for notice in document["notices"]:
        print(f"Note: {notice}.")
    print(document["disclaimer"])


def refuse_unknown(names: Sequence[str], known: Sequence[str], *, what: str) -> None:
    """Raise ConfigError for the first name that is not known."""
    from difflib import get_close_matches

    from vol3d.errors import ConfigError

    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else None
            raise ConfigError(f"unknown {what}", expected=", ".join(known[:12]) + (" ..." if len(known) > 12 else ""), found=name, hint=hint)


def comma_list(text: str) -> tuple[str, ...]:
    """`a, b` as names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
