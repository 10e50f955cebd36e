"""Measurements as sentences that are true by construction: found with numbers and side, absent, not covered with the reason, failed.

No wording is chosen at random and nothing is inferred: each number in a sentence is a measurement whose id the sentence carries.
"""

from collections.abc import Sequence

from experts3d.anatomy import in_words, is_lesion, side_of_name
from vol3d.contracts import LabelMap, Measurement, Sentence, Status
from vol3d.vlm.prompt import number
from vol3d.volume.volume import Volume

_MAX_LISTED = 5
# Nobody expects these to end inside a scan.
_NEVER_WHOLE = ("body", "bone", "fat", "soft_tissue", "calcification")


def describe(volume: Volume, labels: LabelMap, measurements: Sequence[Measurement]) -> tuple[Sentence, ...]:
    """One or more sentences per structure that was measured or that has a status of its own.

    >>> from vol3d.volume.geometry import make_affine
    >>> import numpy as np
    >>> labels = LabelMap(np.zeros((1, 1, 1), np.uint8), make_affine((1, 1, 1)), {1: "liver_cyst"}, "demo", "hand", "1",
    ...                   statuses={"lungs": Status.NOT_COVERED}, reasons={"lungs": "the slab ends below them"})
    >>> zero = Measurement(name="volume", value=0.0, unit="ml", structure="liver_cyst", method="", mask_id="", status=Status.ABSENT)
    >>> scan = Volume(np.zeros((1, 1, 1)), labels.affine, "CT", "HU")
    >>> [s.text for s in describe(scan, labels, [zero])]
    ['No liver cyst was found in the scanned region.', 'Lungs: not covered (the slab ends below them).']
    """
    by_structure: dict[str, list[Measurement]] = {}
    for item in measurements:
        by_structure.setdefault(item.structure, []).append(item)
    order = dict.fromkeys([*by_structure, *labels.statuses])
    out: list[Sentence] = []
    for structure in order:
        out += _about(structure, by_structure.get(structure, []), labels)
    return tuple(out)


def _about(structure: str, items: list[Measurement], labels: LabelMap) -> list[Sentence]:
    status = labels.statuses.get(structure) or (Status.ABSENT if items and items[0].status is Status.ABSENT else Status.FOUND)
    name = in_words(structure)
    reason = labels.reasons.get(structure)
    because = f" ({reason})" if reason else ""
    if status is Status.ABSENT:
        text = f"No {name} was found in the scanned region{because}."
        return [Sentence(text=text, structure=structure, status=status, measurement_ids=tuple(m.id for m in items[:1]))]
    if status in (Status.NOT_COVERED, Status.FAILED):
        word = "not covered" if status is Status.NOT_COVERED else "segmentation failed"
        return [Sentence(text=f"{_capital(name)}: {word}{because}.", structure=structure, status=status)]
    if not items:
        return []
    return [_main(structure, items), *_components(structure, items), *_derived(structure, items), *_caveats(structure, items, because)]


def _main(structure: str, items: list[Measurement]) -> Sentence:
    """`Liver: 1450.2 ml, mean 55 HU.` or `2 kidney cysts on the left: 14.1 ml in all, the longest 25.3 mm in an axial slice.`"""
    facts = {m.name: m for m in items if m.component is None}
    used = [facts["volume"]]
    amount = f"{_number(facts['volume'])} ml"
    parts = [amount]
    if is_lesion(structure):
        used.append(facts["num_components"])
        count = int(float(str(facts["num_components"].value)))
        parts = [f"{count} component{'s' if count != 1 else ''}", f"{amount}{' in all' if count > 1 else ''}"]
        parts.append(f"longest axial diameter {_number(facts['longest_axial_diameter'])} mm")
        used.append(facts["longest_axial_diameter"])
    mean = facts.get("mean_intensity")
    if mean is not None and mean.unit == "HU":
        parts.append(f"mean {number(float(str(mean.value)), 0)} HU")
        used.append(mean)
    side = facts.get("side")
    where = ""
    parts_sides = {m.value for m in items if m.name == "side" and m.component is not None}
    one_sided = side is not None and parts_sides in ({side.value}, set())
    if side is not None and one_sided and side_of_name(structure) is None and is_lesion(structure) and side.value in ("left", "right"):
        where = f" on the {side.value}"
        used.append(side)
    text = f"{_capital(in_words(structure))}{where}: {', '.join(parts)}."
    return Sentence(text=text, structure=structure, status=Status.FOUND, measurement_ids=tuple(m.id for m in used))


def _components(structure: str, items: list[Measurement]) -> list[Sentence]:
    """One sentence for each of the largest components where there are several."""
    numbers = sorted({m.component for m in items if m.component is not None})
    if len(numbers) < 2:
        return []
    out = []
    for component in numbers[:_MAX_LISTED]:
        facts = {m.name: m for m in items if m.component == component}
        used = [facts[name] for name in ("volume", "longest_axial_diameter", "perpendicular_diameter", "first_slice", "last_slice")]
        volume, longest, across, first, last = used
        text = (
            f"{_capital(in_words(structure))} {component}: {_number(volume)} ml, {_number(longest)} x {_number(across)} mm, "
            f"slices {first.value} to {last.value}."
        )
        out.append(Sentence(text=text, structure=structure, status=Status.FOUND, measurement_ids=tuple(m.id for m in used)))
    return out


def _derived(structure: str, items: list[Measurement]) -> list[Sentence]:
    out = []
    for item in items:
        text = _derived_text(structure, item)
        if text is not None:
            out.append(Sentence(text=text, structure=structure, status=Status.FOUND, measurement_ids=(item.id,)))
    return out


def _derived_text(structure: str, item: Measurement) -> str | None:
    name, value = in_words(structure), item.value
    if item.name == "larger_kidney":
        seen = ", as far as the scan shows them" if "cuts" in item.method else ""
        return f"The kidneys are equal in volume{seen}." if value == "equal" else f"The {value} kidney is the larger one{seen}."
    if item.name == "kidney_volume_difference":
        return f"The kidney volumes differ by {_number(item)} ml."
    if item.name in ("splenomegaly", "hepatic_steatosis", "pancreatic_steatosis"):
        words = item.name.replace("_", " ")
        return f"{_capital(words)}: {value} ({item.method})."
    if item.name in ("emphysema_index", "poorly_aerated_share"):
        return f"{_capital(item.name.replace('_', ' '))}: {_number(item)}% of the lung volume."
    if item.name == "burden":
        return f"{_capital(name)} takes {_number(item)}% of its organ."
    if item.name == "attenuation":
        return f"{_capital(name)} is {value} to its organ."
    return None


def _caveats(structure: str, items: list[Measurement], because: str) -> list[Sentence]:
    """What limits the numbers: the scan ends inside the structure, or the expert gave a reason for doubt."""
    out = []
    cut = next((m for m in items if m.name == "touches_border" and m.component is None), None)
    if cut is not None and cut.value and structure not in _NEVER_WHOLE:
        text = f"{_capital(in_words(structure))}: cut off by the edge of the scan, so volume and size are of the visible part."
        out.append(Sentence(text=text, structure=structure, status=Status.FOUND, measurement_ids=(cut.id,)))
    if because:
        out.append(Sentence(text=f"{_capital(in_words(structure))}: note{because}.", structure=structure, status=Status.FOUND))
    return out


def _number(item: Measurement) -> str:
    value = float(str(item.value))
    return number(value, 3 if 0 < abs(value) < 0.095 else 1)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
