"""Is it there? Existence of lesions by class, and splenomegaly."""

from data_prep.questions.anatomy import LESION_CLASSES
from data_prep.questions.facts import Facts
from data_prep.questions.model import Draft, Outcome, Skip
from data_prep.questions.steps import computed, measured, rule, segment
from experts3d.thresholds import SPLENOMEGALY
from vol3d.contracts import Status

# subtype -> lesion class
EXISTENCE = {
    "liver lesion existence": "liver lesion",
    "kidney lesion existence": "kidney lesion",
    "kidney tumor existence": "kidney tumour",
    "kidney cyst existence": "kidney cyst",
    "pancreatic lesion existence": "pancreatic lesion",
    "colon lesion existence": "colon lesion",
    "PDAC existence": "pancreatic ductal adenocarcinoma",
    "PNET existence": "pancreatic neuroendocrine tumour",
}
_MARGIN = 0.02


def hosts(facts: Facts, host: str) -> tuple[str, ...]:
    """The structures that make up a host: both sides of a paired organ."""
    return (host,) if facts.status(host) is not Status.NOT_COVERED else (f"{host}_left", f"{host}_right")


def existence(facts: Facts, subtype: str, class_name: str) -> Outcome:
    """Yes where the class has a voxel; no only where it was looked for in a whole organ."""
    lesion = LESION_CLASSES[class_name]
    status = facts.lesion_status(lesion)
    if status is Status.FOUND:
        parts = facts.components(class_name)
        steps = (*(segment(s) for s in lesion.structures if facts.found(s)), computed(f"number of separate {class_name}s", float(len(parts))))
        yield Draft(subtype, lesion.host, True, steps, lesion=True, lesion_diameter_mm=parts[0].diameter_mm)
        return
    if status is not Status.ABSENT:
        yield Skip(subtype, lesion.host, "class_not_labelled", f"no mask looked for every kind of {class_name}")
        return
    organs = hosts(facts, lesion.host)
    if not all(facts.found(organ) for organ in organs):
        yield Skip(subtype, lesion.host, "not_covered")
    elif any(facts.is_cut(organ) for organ in organs):
        yield Skip(subtype, lesion.host, "organ_cut_off", "absence holds only for the part in the scan")
    else:
        yield Draft(subtype, lesion.host, False, (*(segment(o) for o in organs), computed(f"voxels of {class_name}", 0.0)), lesion=True)


def near(value: float, limit: float) -> bool:
    """Within 2% of a limit, where a rim of voxels would change the answer."""
    return abs(value - limit) <= _MARGIN * abs(limit)


def whole_volume(facts: Facts, organ: str) -> float | Skip:
    """Volume of an organ that lies inside the scan, or why there is none; the subtype of the Skip is for the caller to set."""
    if not facts.found(organ):
        return Skip("", organ, "not_covered")
    if facts.is_cut(organ):
        return Skip("", organ, "organ_cut_off")
    return facts.volume_ml(organ)


def splenomegaly(facts: Facts) -> Outcome:
    """Spleen volume against its limit."""
    subtype, limit = "splenomegaly detection", SPLENOMEGALY.value
    volume = whole_volume(facts, "spleen")
    if isinstance(volume, Skip):
        yield Skip(subtype, "spleen", volume.reason)
    elif near(volume, limit):
        yield Skip(subtype, "spleen", "near_threshold", f"{volume:.1f} cm3")
    else:
        steps = (segment("spleen"), measured("spleen", "volume", volume, "cm3"), rule(f"enlarged over {limit} cm3 ({SPLENOMEGALY.source})"))
        yield Draft(subtype, "spleen", volume > limit, steps)


def recognition(facts: Facts) -> Outcome:
    """All nine subtypes."""
    for subtype, class_name in EXISTENCE.items():
        yield from existence(facts, subtype, class_name)
    yield from splenomegaly(facts)
