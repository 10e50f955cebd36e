"""Visual reasoning over two or more organs: sums, which is larger, which carries more, which is enlarged."""

from itertools import combinations

from data_prep.questions.anatomy import LESION_CLASSES, ORGANS, words
from data_prep.questions.facts import Facts
from data_prep.questions.model import Draft, Outcome, Skip
from data_prep.questions.recognition import near, whole_volume
from data_prep.questions.steps import computed, measured, rule, segment
from experts3d import thresholds as limits
from vol3d.contracts import Status

SIDES = ("left kidney", "right kidney")
BURDENS = {"liver lesion": "liver", "kidney lesion": "kidneys", "pancreatic lesion": "pancreas", "colon lesion": "colon"}
ENLARGED = {
    "liver": limits.LIVER_LARGE,
    "spleen": limits.SPLENOMEGALY,
    "kidney_left": limits.KIDNEY_LARGE,
    "kidney_right": limits.KIDNEY_LARGE,
    "pancreas": limits.PANCREAS_LARGE,
}
ASYMMETRY_RATIO = 2.0
_ADDED = tuple(o for o in ORGANS if not o.startswith(("vertebrae", "adrenal", "portal", "inferior")))


def aggregation(facts: Facts) -> Outcome:
    """Sum of two volumes, for every pair of whole organs."""
    volumes = {organ: whole_volume(facts, organ) for organ in _ADDED}
    for organ, volume in volumes.items():
        if isinstance(volume, Skip):
            yield Skip("organ aggregation", organ, volume.reason)
    whole = {organ: volume for organ, volume in volumes.items() if not isinstance(volume, Skip)}
    for first, second in combinations(whole, 2):
        total = whole[first] + whole[second]
        steps = (segment(first), segment(second), measured(first, "volume", whole[first], "cm3"), measured(second, "volume", whole[second], "cm3"))
        slots = {"organ": words(first), "organ2": words(second)}
        yield Draft("organ aggregation", f"{first}/{second}", total, (*steps, computed("sum", total)), slots, unit="cm3")


def kidney_comparison(facts: Facts) -> Outcome:
    """Which kidney is larger."""
    subtype = "kidney volume comparison"
    left, right = whole_volume(facts, "kidney_left"), whole_volume(facts, "kidney_right")
    if isinstance(left, Skip) or isinstance(right, Skip):
        yield Skip(subtype, "kidney", (left if isinstance(left, Skip) else right).reason)  # type: ignore[union-attr]
    elif abs(left - right) < 0.03 * max(left, right):
        yield Skip(subtype, "kidney", "too_similar", f"left {left:.1f}, right {right:.1f} cm3")
    else:
        steps = (
            segment("kidney_left"),
            segment("kidney_right"),
            measured("kidney_left", "volume", left, "cm3"),
            measured("kidney_right", "volume", right, "cm3"),
        )
        truth = SIDES[0] if left > right else SIDES[1]
        yield Draft(subtype, "kidney", truth, steps, categories=SIDES, pool=("both are equal within 0.1%", "there is only one kidney"))


def kidney_asymmetry(facts: Facts) -> Outcome:
    """Which kidney carries at least twice the lesion volume of the other."""
    subtype, lesion = "bilateral kidney asymmetry", LESION_CLASSES["kidney lesion"]
    parts = facts.components(lesion.name)
    if not parts:
        yield Skip(subtype, "kidney", "no_lesion")
        return
    if not (facts.found("kidney_left") and facts.found("kidney_right")):
        yield Skip(subtype, "kidney", "not_covered")
        return
    if any(part.touches_border for part in parts):
        yield Skip(subtype, "kidney", "lesion_cut_off")
        return
    left, right = facts.lesion_volume_ml(lesion, "left"), facts.lesion_volume_ml(lesion, "right")
    low, high = min(left, right), max(left, right)
    if low > 0 and near(high / low, ASYMMETRY_RATIO):
        yield Skip(subtype, "kidney", "near_threshold", f"ratio {high / low:.2f}")
        return
    similar = low > 0 and high / low < ASYMMETRY_RATIO
    truth = "similar on both sides" if similar else SIDES[0] if left > right else SIDES[1]
    steps = (segment(lesion.name), computed("lesion volume on the left (cm3)", left), computed("lesion volume on the right (cm3)", right))
    yield Draft(subtype, "kidney", truth, steps, categories=(*SIDES, "similar on both sides"), pool=("neither kidney has a lesion",), lesion=True)


def burden_comparison(facts: Facts) -> Outcome:
    """The organ with most lesion volume, among organs whose lesions were looked for."""
    subtype = "multi-organ lesion burden comparison"
    known = {
        name: facts.lesion_volume_ml(LESION_CLASSES[name]) for name in BURDENS if facts.lesion_status(LESION_CLASSES[name]) is not Status.NOT_COVERED
    }
    ordered = sorted(known.items(), key=lambda item: -item[1])
    if len(ordered) < 2 or ordered[0][1] == 0:
        yield Skip(subtype, "abdomen", "no_lesion", "fewer than two organs whose lesions are known, or none with a lesion")
    elif near(ordered[1][1], ordered[0][1]):
        yield Skip(subtype, "abdomen", "too_similar")
    else:
        steps = tuple(measured(name, "volume", volume, "cm3") for name, volume in known.items())
        pool = tuple(organ for name, organ in BURDENS.items() if name not in known)
        yield Draft(
            subtype, "abdomen", BURDENS[ordered[0][0]], steps, categories=tuple(BURDENS[n] for n in known), pool=(*pool, "spleen"), lesion=True
        )


def segment_comparison(facts: Facts) -> Outcome:
    """Which of two parts of a whole organ is larger."""
    subtype = "inter-segment comparison"
    for organ in ("liver", "pancreas", "kidney_left", "kidney_right"):
        if isinstance(whole := whole_volume(facts, organ), Skip):
            yield Skip(subtype, organ, whole.reason)
            continue
        volumes = {name: float(mask.sum()) * facts.voxel_ml for name, (_, mask) in facts.segments(organ).items()}
        if len(volumes) < 2:
            yield Skip(subtype, organ, "segments_not_labelled")
        for (first, a), (second, b) in combinations(volumes.items(), 2):
            if abs(a - b) < 0.05 * max(a, b):
                yield Skip(subtype, organ, "too_similar", f"{first} and {second}")
                continue
            steps = (segment(first), segment(second), computed(f"{first} (cm3)", a), computed(f"{second} (cm3)", b))
            pool = ("equal within 0.1%", "neither lies in the scan")
            yield Draft(
                subtype, organ, first if a > b else second, steps, {"segment": first, "segment2": second}, categories=(first, second), pool=pool
            )


def enlargement(facts: Facts) -> Outcome:
    """An organ's volume against its upper normal bound."""
    subtype = "organ enlargement"
    for organ, limit in ENLARGED.items():
        volume = whole_volume(facts, organ)
        if isinstance(volume, Skip):
            yield Skip(subtype, organ, volume.reason)
        elif near(volume, limit.value):
            yield Skip(subtype, organ, "near_threshold", f"{volume:.1f} cm3")
        else:
            steps = (segment(organ), measured(organ, "volume", volume, "cm3"), rule(f"upper bound {limit.value:g} cm3 ({limit.source})"))
            yield Draft(subtype, organ, volume > limit.value, steps, {"organ": words(organ), "limit": f"{limit.value:g}"})


def comparison(facts: Facts) -> Outcome:
    """All subtypes that compare or add."""
    for family in (aggregation, kidney_comparison, kidney_asymmetry, burden_comparison, segment_comparison, enlargement):
        yield from family(facts)
