"""What follows from several measurements: which kidney is larger, whether the spleen is, how fatty the liver, how large a lesion's share.

A derived measurement belongs to the first structure that it was computed from, and its `method` is the formula with its source. An organ that
the scan cuts off is only a lower bound: "enlarged" may still follow from it, "normal" never does; the two kidneys are compared as far as they
are seen, and the method says so.
Density rules for unenhanced CT are not applied when the aorta shows contrast.
"""

from collections.abc import Iterator, Sequence

from experts3d import thresholds as limits
from experts3d.derive_lesions import lesions
from experts3d.facts import Facts
from experts3d.thresholds import Threshold
from vol3d.contracts import Measurement


def derive(measurements: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Ratios, grades and comparisons that the measurements allow.

    >>> spleen = [Measurement(name=n, value=v, unit=u, structure="spleen", method="", mask_id="demo")
    ...           for n, v, u in [("volume", 420.0, "ml"), ("touches_border", 0, "")]]
    >>> [(m.name, m.value) for m in derive(spleen)]
    [('splenomegaly', 'yes'), ('splenomegaly_grade', 'mild')]
    """
    facts = Facts(measurements)
    families = (_kidneys, _spleen, _sizes, _fat, _lungs, lesions)
    return tuple(item for family in families for item in family(facts))


def _kidneys(facts: Facts) -> Iterator[Measurement]:
    left, right = facts.number("kidney_left", "volume"), facts.number("kidney_right", "volume")
    if not left or not right:
        return
    cut = any(facts.whole(kidney) is None for kidney in ("kidney_left", "kidney_right"))
    parts = "; of the parts inside the scan, which cuts a kidney off" if cut else ""
    difference = abs(left - right)
    side = "equal" if difference < limits.EQUAL_KIDNEYS_ML.value else "left" if left > right else "right"
    method = f"volumes left {left:.1f} ml, right {right:.1f} ml; equal below {limits.EQUAL_KIDNEYS_ML.value:.0f} ml{parts}"
    yield facts.make("kidney_left", "larger_kidney", side, "", method)
    yield facts.make("kidney_left", "kidney_volume_difference", difference, "ml", f"larger minus smaller kidney volume{parts}")
    yield facts.make("kidney_left", "kidney_volume_ratio", max(left, right) / min(left, right), "", f"larger over smaller kidney volume{parts}")


def _spleen(facts: Facts) -> Iterator[Measurement]:
    volume, limit = facts.number("spleen", "volume"), limits.SPLENOMEGALY
    if not volume or (facts.whole("spleen") is None and volume <= limit.value):
        return
    yield facts.make("spleen", "splenomegaly", "yes" if volume > limit.value else "no", "", _over("volume", limit))
    if facts.whole("spleen") is None and volume <= limits.SPLENOMEGALY_SEVERE.value:
        return
    steps = ((limit, "normal"), (limits.SPLENOMEGALY_MODERATE, "mild"), (limits.SPLENOMEGALY_SEVERE, "moderate"))
    grade = next((word for step, word in steps if volume <= step.value), "severe")
    method = (
        f"normal to {limit.value} ml ({limit.source}), mild to {steps[1][0].value:.0f}, moderate to {steps[2][0].value:.0f} ({steps[1][0].source})"
    )
    yield facts.make("spleen", "splenomegaly_grade", grade, "", method)


def _sizes(facts: Facts) -> Iterator[Measurement]:
    ranges = {
        "liver": (limits.LIVER_SMALL, limits.LIVER_LARGE),
        "kidney_left": (limits.KIDNEY_SMALL, limits.KIDNEY_LARGE),
        "kidney_right": (limits.KIDNEY_SMALL, limits.KIDNEY_LARGE),
        "pancreas": (limits.PANCREAS_SMALL, limits.PANCREAS_LARGE),
    }
    for organ, (small, large) in ranges.items():
        volume = facts.number(organ, "volume")
        if not volume or (facts.whole(organ) is None and volume <= large.value):
            continue
        size = "large" if volume > large.value else "small" if volume < small.value else "normal"
        method = f"normal {small.value:.0f} to {large.value:.0f} ml ({large.source})"
        yield facts.make(organ, f"{organ}_size", size, "", method)


def _fat(facts: Facts) -> Iterator[Measurement]:
    liver, spleen, pancreas = (facts.hounsfield(organ) for organ in ("liver", "spleen", "pancreas"))
    phase = facts.unenhanced()
    if spleen is None or spleen <= 0 or phase is None:
        return
    if liver is not None:
        ratio, limit = liver / spleen, limits.LIVER_SPLEEN_RATIO
        yield facts.make("liver", "liver_spleen_hu_ratio", ratio, "", f"mean liver over mean spleen HU; {phase}")
        yield facts.make(
            "liver", "hepatic_steatosis", "yes" if ratio < limit.value else "no", "", f"ratio below {limit.value} ({limit.source}); {phase}"
        )
        grade = next((g for g, below_hu, below_ratio in limits.STEATOSIS_GRADES if liver < below_hu or ratio < below_ratio), 0)
        # A dark liver beside a darker spleen, or a bright one beside a brighter: the two criteria contradict each other, and no grade follows.
        if (grade > 0) == (ratio < limit.value):
            method = f"0 to 3 by liver HU and liver-to-spleen ratio, where both agree ({limit.source}); {phase}"
            yield facts.make("liver", "hepatic_steatosis_grade", grade, "", method)
    if pancreas is not None:
        ratio, limit = pancreas / spleen, limits.PANCREAS_SPLEEN_RATIO
        yield facts.make("pancreas", "pancreas_spleen_hu_ratio", ratio, "", f"mean pancreas over mean spleen HU; {phase}")
        yield facts.make(
            "pancreas", "pancreatic_steatosis", "yes" if ratio < limit.value else "no", "", f"ratio below {limit.value} ({limit.source}); {phase}"
        )


def _lungs(facts: Facts) -> Iterator[Measurement]:
    lungs = facts.number("lungs", "volume")
    if not lungs:
        return
    if facts.whole("lungs") is not None:
        yield facts.make("lungs", "total_lung_volume", lungs, "ml", "both lungs, as far inspired as in this scan")
    low = facts.number("lung_low_attenuation", "volume")
    if low is not None:
        cut = "" if facts.whole("lungs") is not None else "; of the part of the lungs in the scan"
        method = (
            f"share of lung volume below {limits.EMPHYSEMA_HU.value:.0f} HU ({limits.EMPHYSEMA_HU.source}){cut}; noise and sharp kernels raise it"
        )
        yield facts.make("lungs", "emphysema_index", 100 * low / lungs, "%", method)
    poor = facts.number("lung_poorly_aerated", "volume")
    if poor is not None:
        yield facts.make("lungs", "poorly_aerated_share", 100 * poor / lungs, "%", "share of lung volume from -500 to -100 HU (Gattinoni bands)")


def _over(what: str, limit: Threshold) -> str:
    return f"{what} over {limit.value} {limit.unit} ({limit.source})"
