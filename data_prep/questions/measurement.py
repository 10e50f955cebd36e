"""How large, how dense? Numbers of one mask, and of two."""

import math

from data_prep.questions.anatomy import DENSE_ORGANS, LESION_CLASSES, ORGANS, words
from data_prep.questions.facts import Facts
from data_prep.questions.model import Draft, Outcome, Skip
from data_prep.questions.recognition import hosts, whole_volume
from data_prep.questions.steps import computed, measured, segment

# Lesion classes that are measured one by one; wider classes ("lesion") would repeat them.
MEASURED = ("liver lesion", "kidney lesion", "pancreatic lesion", "colon lesion")
RATIOS = (
    ("liver", "spleen"), ("pancreas", "spleen"), ("liver", "aorta"), ("spleen", "aorta"), ("kidney_left", "kidney_right"), ("kidney_left", "spleen"),
    ("pancreas", "liver"), ("kidney_right", "liver"), ("liver", "autochthon_right"), ("spleen", "autochthon_left"), ("liver", "inferior_vena_cava"),
    ("autochthon_left", "autochthon_right"), ("vertebrae_L1", "vertebrae_T12"),
)  # fmt: skip
_MIN_ML = 2.0  # a mean over fewer voxels is noise
_MIN_HU = 20.0  # HU has no true zero: a ratio of values near or below 0 means nothing


def organ_volume(facts: Facts) -> Outcome:
    """Every whole organ."""
    for organ in ORGANS:
        volume = whole_volume(facts, organ)
        if isinstance(volume, Skip):
            yield Skip("organ volume measurement", organ, volume.reason)
            continue
        steps = (segment(organ), measured(organ, "volume", volume, "cm3"))
        yield Draft("organ volume measurement", organ, volume, steps, {"organ": words(organ)}, unit="cm3")


def organ_hu(facts: Facts) -> Outcome:
    """Mean density; an organ that is cut off still has one, and the question then says so."""
    subtype = "organ HU measurement"
    for organ in DENSE_ORGANS:
        if not facts.is_ct:
            yield Skip(subtype, organ, "modality")
        elif facts.volume_ml(organ) < _MIN_ML:
            yield Skip(subtype, organ, "not_covered")
        else:
            value = facts.mean(organ)
            name = f"{words(organ)} (the part in the scan)" if facts.is_cut(organ) else words(organ)
            yield Draft(subtype, organ, value, (segment(organ), measured(organ, "mean_intensity", value, "HU")), {"organ": name}, unit="HU")


def lesion_volume(facts: Facts) -> Outcome:
    """The largest component of each class."""
    subtype = "lesion volume measurement"
    for name in MEASURED:
        organ, parts = LESION_CLASSES[name].host, facts.components(name)
        if not parts:
            yield Skip(subtype, organ, "no_lesion")
        elif parts[0].touches_border:
            yield Skip(subtype, organ, "lesion_cut_off")
        else:
            step = measured(name, "volume", parts[0].volume_ml, "cm3")
            yield Draft(
                subtype, organ, parts[0].volume_ml, (segment(name), step), {"lesion": name}, unit="cm3", decimals=2, lesion=True,
                lesion_diameter_mm=parts[0].diameter_mm,
            )  # fmt: skip


def hu_ratio(facts: Facts) -> Outcome:
    """Ratios of mean densities."""
    subtype = "organ HU ratio"
    for first, second in RATIOS:
        organ = f"{first}/{second}"
        if not facts.is_ct:
            yield Skip(subtype, organ, "modality")
        elif min(facts.volume_ml(first), facts.volume_ml(second)) < _MIN_ML:
            yield Skip(subtype, organ, "not_covered")
        elif min(facts.mean(first), facts.mean(second)) < _MIN_HU:
            yield Skip(subtype, organ, "near_threshold", f"a ratio means nothing when an organ is under {_MIN_HU:.0f} HU")
        else:
            a, b = facts.mean(first), facts.mean(second)
            steps = (segment(first), segment(second), measured(first, "mean_intensity", a, "HU"), measured(second, "mean_intensity", b, "HU"))
            slots = {"organ": words(first), "organ2": words(second)}
            yield Draft(subtype, organ, a / b, (*steps, computed("first / second", a / b)), slots, decimals=2)


def burden(facts: Facts) -> Outcome:
    """Share of the organ that is lesion."""
    subtype = "tumor burden percentage"
    for name in ("liver lesion", "pancreatic lesion", "kidney lesion"):
        lesion = LESION_CLASSES[name]
        organs = hosts(facts, lesion.host)
        parts = facts.components(name)
        volumes = [whole_volume(facts, organ) for organ in organs]
        skipped = next((v for v in volumes if isinstance(v, Skip)), None)
        if not parts:
            yield Skip(subtype, lesion.host, "no_lesion")
        elif skipped is not None:
            yield Skip(subtype, lesion.host, skipped.reason)
        else:
            total, own = math.fsum(v for v in volumes if not isinstance(v, Skip)), facts.lesion_volume_ml(lesion)
            steps = (segment(lesion.host), segment(name), measured(lesion.host, "volume", total, "cm3"), measured(name, "volume", own, "cm3"))
            share = 100 * own / total
            slots = {"organ": "kidneys (both together)" if len(organs) == 2 else words(lesion.host)}
            yield Draft(
                subtype, lesion.host, share, (*steps, computed("100 x lesions / organ", share)), slots, unit="%", decimals=2, lesion=True,
                lesion_diameter_mm=parts[0].diameter_mm,
            )  # fmt: skip


def measurement(facts: Facts) -> Outcome:
    """All five subtypes."""
    for family in (organ_volume, organ_hu, lesion_volume, hu_ratio, burden):
        yield from family(facts)
