"""Medical reasoning: grades, stages and classes, each by a published rule. Density rules are asked on unenhanced CT only."""

from data_prep.questions.anatomy import ARTERIES, VEINS
from data_prep.questions.facts import Component, Facts
from data_prep.questions.model import Draft, Outcome, Skip, Step
from data_prep.questions.recognition import near, whole_volume
from data_prep.questions.steps import computed, measured, rule, segment
from experts3d import thresholds as limits
from vol3d.contracts import Status

GRADES = ("normal", "mild splenomegaly", "moderate splenomegaly", "severe splenomegaly")
STAGES = ("T1", "T2", "T3", "T4")
RESECTABILITY = ("resectable", "borderline resectable", "unresectable")
FATTY = ("no fatty liver", "mild fatty liver", "moderate to severe fatty liver")
STEATOSIS = ("grade 0", "grade 1", "grade 2", "grade 3")
RENAL = ("simple cyst", "indeterminate mass", "hyperattenuating cyst")
TYPES = ("cyst", "tumour")
TUMOUR_TYPES = ("PDAC", "PNET")
CYST_ML, CYST_MM = 3.0, 30.0
KIDNEY_TUMOUR_HU, PSEUDOCYST_HU, CAUDATE_RATIO, FATTY_HU = 34.8, 14.5, 0.65, 40.0
_MARGIN_HU, _MARGIN_RATIO = 1.0, 0.01
_UNENHANCED = "rule for unenhanced CT"


def splenomegaly_grading(facts: Facts) -> Outcome:
    """Four grades by volume."""
    subtype, volume = "splenomegaly grading", whole_volume(facts, "spleen")
    steps = (limits.SPLENOMEGALY.value, limits.SPLENOMEGALY_MODERATE.value, limits.SPLENOMEGALY_SEVERE.value)
    if isinstance(volume, Skip):
        yield Skip(subtype, "spleen", volume.reason)
    elif any(near(volume, step) for step in steps):
        yield Skip(subtype, "spleen", "near_threshold", f"{volume:.1f} cm3")
    else:
        chain = (segment("spleen"), measured("spleen", "volume", volume, "cm3"), rule("314.5, 500, 800 cm3"))
        yield Draft(subtype, "spleen", GRADES[sum(volume > step for step in steps)], chain, categories=GRADES)


def _pancreas(facts: Facts, subtype: str, name: str) -> Component | Skip:
    parts = facts.components(name)
    if not parts:
        return Skip(subtype, "pancreas", "no_lesion")
    return Skip(subtype, "pancreas", "lesion_cut_off") if parts[0].touches_border else parts[0]


def tumour_type(facts: Facts) -> Outcome:
    """PDAC or PNET, from the mask's class."""
    subtype = "PDAC vs PNET classification"
    found = [facts.found("pancreas_pdac"), facts.found("pancreas_pnet")]
    if not any(found):
        known = facts.status("pancreas_pdac") is not Status.NOT_COVERED
        yield Skip(subtype, "pancreas", "no_lesion" if known else "class_not_labelled")
    elif all(found):
        yield Skip(subtype, "pancreas", "too_similar", "both types are present")
    else:
        name = "pancreas_pdac" if found[0] else "pancreas_pnet"
        part = facts.components("pancreatic tumour")[0]
        pool = ("serous cystadenoma", "acute pancreatitis")
        yield Draft(
            subtype, "pancreas", TUMOUR_TYPES[found.index(True)], (segment(name),), categories=TUMOUR_TYPES, pool=pool, lesion=True,
            lesion_diameter_mm=part.diameter_mm,
        )  # fmt: skip


def staging(facts: Facts) -> Outcome:
    """T category by diameter, and by contact with the arteries that are labelled."""
    subtype, name = "pancreatic tumor staging", "pancreatic tumour" if facts.components("pancreatic tumour") else "pancreatic lesion"
    part = _pancreas(facts, subtype, name)
    if isinstance(part, Skip):
        yield part
        return
    arteries = [a for a in ARTERIES if facts.found(a)]
    touched = [a for a in arteries if facts.contact_degrees(part, a) > 0]
    bounds = (limits.TUMOUR_T2_MM.value, limits.TUMOUR_T3_MM.value)
    if not touched and any(near(part.diameter_mm, bound) for bound in bounds):
        yield Skip(subtype, "pancreas", "near_threshold", f"{part.diameter_mm:.1f} mm")
        return
    stage = STAGES[3] if touched else STAGES[sum(part.diameter_mm > bound for bound in bounds)]
    steps = (segment(name), measured(name, "longest_axial_diameter", part.diameter_mm, "mm"), *_contacts(facts, part, arteries), rule("AJCC 8"))
    vessels = "size, and contact with the labelled arteries" if arteries else "by size alone, arteries are not judged"
    yield Draft(subtype, "pancreas", stage, steps, {"vessels": vessels}, categories=STAGES, lesion=True, lesion_diameter_mm=part.diameter_mm)


def _contacts(facts: Facts, part: Component, vessels: list[str]) -> tuple[Step, ...]:
    return tuple(measured(vessel, "contact_angle", facts.contact_degrees(part, vessel), "deg") for vessel in vessels)


def resectability(facts: Facts) -> Outcome:
    """Widest contact with arteries, then veins."""
    subtype, name = "pancreatic lesion resectability", "pancreatic lesion"
    part = _pancreas(facts, subtype, name)
    arteries = [a for a in ARTERIES if facts.found(a)]
    if isinstance(part, Skip):
        yield part
    elif not arteries:
        yield Skip(subtype, "pancreas", "vessel_not_labelled", "no mask of the coeliac, superior mesenteric or common hepatic artery")
    else:
        veins = [v for v in VEINS if facts.found(v)]
        artery = max(facts.contact_degrees(part, a) for a in arteries)
        vein = max((facts.contact_degrees(part, v) for v in veins), default=0.0)
        if any(value > 0 and near(value, 180.0) for value in (artery, vein)):
            yield Skip(subtype, "pancreas", "near_threshold", f"artery {artery:.0f}, vein {vein:.0f} degrees")
            return
        truth = RESECTABILITY[2] if artery > 180 else RESECTABILITY[1] if artery > 0 or vein > 180 else RESECTABILITY[0]
        steps = (segment(name), *_contacts(facts, part, arteries + veins), rule("NCCN, by contact angles"))
        yield Draft(
            subtype,
            "pancreas",
            truth,
            steps,
            categories=RESECTABILITY,
            pool=("there is no lesion",),
            lesion=True,
            lesion_diameter_mm=part.diameter_mm,
        )


def cyst_resectability(facts: Facts) -> Outcome:
    """Size criterion of pancreatic cysts."""
    subtype, name = "pancreatic cyst resectability", "pancreatic cyst"
    part = _pancreas(facts, subtype, name)
    if isinstance(part, Skip):
        yield part
    elif near(part.volume_ml, CYST_ML) or near(part.diameter_mm, CYST_MM):
        yield Skip(subtype, "pancreas", "near_threshold", f"{part.volume_ml:.2f} cm3, {part.diameter_mm:.1f} mm")
    else:
        steps = (
            segment(name), measured(name, "volume", part.volume_ml, "cm3"), measured(name, "longest_axial_diameter", part.diameter_mm, "mm"),
            rule(f"over {CYST_ML} cm3 or over {CYST_MM:.0f} mm"),
        )  # fmt: skip
        truth = part.volume_ml > CYST_ML or part.diameter_mm > CYST_MM
        yield Draft(subtype, "pancreas", truth, steps, lesion=True, lesion_diameter_mm=part.diameter_mm)


def unenhanced(facts: Facts, subtype: str, organ: str) -> Skip | None:
    """Why a density rule cannot be applied, or None."""
    if not facts.is_ct:
        return Skip(subtype, organ, "modality")
    if facts.phase != "unenhanced":
        return Skip(subtype, organ, "contrast_phase", f"{_UNENHANCED}; this scan: {facts.phase or 'unknown phase'}")
    return None


def fat(facts: Facts) -> Outcome:
    """Fatty liver, its grade, and the pancreas."""
    for subtype, organ, ask in (
        ("fatty liver", "liver", _fatty),
        ("hepatic steatosis grading", "liver", _grade),
        ("pancreatic steatosis", "pancreas", _pancreas_fat),
    ):
        refused = unenhanced(facts, subtype, organ)
        if refused is not None:
            yield refused
        elif not (facts.found(organ) and facts.found("spleen")):
            yield Skip(subtype, organ, "not_covered")
        elif facts.mean("spleen") < 10:
            yield Skip(subtype, organ, "near_threshold", "spleen near 0 HU")
        else:
            yield from ask(facts, subtype)


def _ratio(facts: Facts, organ: str) -> tuple[float, float, tuple[Step, ...]]:
    value, spleen = facts.mean(organ), facts.mean("spleen")
    steps = (segment(organ), segment("spleen"), measured(organ, "mean_intensity", value, "HU"), measured("spleen", "mean_intensity", spleen, "HU"))
    return value, value / spleen, (*steps, computed(f"{organ} / spleen", value / spleen))


def _is_close(value: float, ratio: float, hu_limits: tuple[float, ...], ratio_limits: tuple[float, ...]) -> bool:
    return any(abs(value - limit) < _MARGIN_HU for limit in hu_limits) or any(abs(ratio - limit) < _MARGIN_RATIO for limit in ratio_limits)


def _fatty(facts: Facts, subtype: str) -> Outcome:
    value, ratio, steps = _ratio(facts, "liver")
    if _is_close(value, ratio, (FATTY_HU,), (1.0,)):
        yield Skip(subtype, "liver", "near_threshold", f"{value:.1f} HU, ratio {ratio:.2f}")
    else:
        truth = FATTY[0] if ratio >= 1 else FATTY[2] if value < FATTY_HU else FATTY[1]
        yield Draft(subtype, "liver", truth, (*steps, rule("ratio < 1.0; < 40 HU moderate to severe")), categories=FATTY, pool=("iron overload",))


def _grade(facts: Facts, subtype: str) -> Outcome:
    value, ratio, steps = _ratio(facts, "liver")
    if _is_close(value, ratio, tuple(g[1] for g in limits.STEATOSIS_GRADES), tuple(g[2] for g in limits.STEATOSIS_GRADES)):
        yield Skip(subtype, "liver", "near_threshold", f"{value:.1f} HU, ratio {ratio:.2f}")
    else:
        grade = next((g for g, below_hu, below_ratio in limits.STEATOSIS_GRADES if value < below_hu or ratio < below_ratio), 0)
        yield Draft(subtype, "liver", STEATOSIS[grade], (*steps, rule("Kodama 2007")), categories=STEATOSIS)


def _pancreas_fat(facts: Facts, subtype: str) -> Outcome:
    _, ratio, steps = _ratio(facts, "pancreas")
    limit = limits.PANCREAS_SPLEEN_RATIO.value
    if abs(ratio - limit) < _MARGIN_RATIO:
        yield Skip(subtype, "pancreas", "near_threshold", f"ratio {ratio:.2f}")
    else:
        yield Draft(subtype, "pancreas", ratio < limit, (*steps, rule(f"ratio < {limit:.2f}")))


def lesion_density(facts: Facts) -> Outcome:
    """Classes of kidney and pancreas lesions by mean HU."""
    for subtype, name, organ in (
        ("lesion type classification", "kidney lesion", "kidney"),
        ("renal mass characterization", "kidney lesion", "kidney"),
        ("pseudocyst determination", "pancreatic cyst", "pancreas"),
    ):
        refused = unenhanced(facts, subtype, organ)
        parts = facts.components(name)
        if refused is not None:
            yield refused
        elif not parts:
            yield Skip(subtype, organ, "no_lesion")
        elif parts[0].touches_border:
            yield Skip(subtype, organ, "lesion_cut_off")
        else:
            yield _density_class(subtype, organ, name, parts[0])


def _density_class(subtype: str, organ: str, name: str, part: Component) -> Draft | Skip:
    low, simple, high = limits.CYST_HU[0].value, limits.CYST_HU[1].value, limits.HYPERATTENUATING_CYST_HU.value
    bounds = {
        "lesion type classification": (KIDNEY_TUMOUR_HU,),
        "renal mass characterization": (low, simple, high),
        "pseudocyst determination": (PSEUDOCYST_HU,),
    }[subtype]
    if any(abs(part.mean - bound) < _MARGIN_HU for bound in bounds):
        return Skip(subtype, organ, "near_threshold", f"{part.mean:.1f} HU")
    if subtype == "renal mass characterization" and part.mean < low:
        return Skip(subtype, organ, "class_not_labelled", f"{part.mean:.1f} HU: fat, outside of the rule")
    truth: bool | str
    categories: tuple[str, ...] = ()
    if subtype == "pseudocyst determination":
        truth = part.mean > PSEUDOCYST_HU
    elif subtype == "lesion type classification":
        truth, categories = TYPES[part.mean > KIDNEY_TUMOUR_HU], TYPES
    else:
        truth, categories = RENAL[(part.mean > simple) + (part.mean > high)], RENAL
    steps = (segment(name), measured(name, "mean_intensity", part.mean, "HU"), rule(f"limits {', '.join(f'{b:g}' for b in bounds)} HU"))
    pool = ("calcified stone", "angiomyolipoma") if categories else ()
    return Draft(subtype, organ, truth, steps, categories=categories, pool=pool, lesion=True, lesion_diameter_mm=part.diameter_mm)


def portal_hypertension(facts: Facts) -> Outcome:
    """Spleen volume and the caudate-to-right-lobe ratio."""
    subtype, spleen = "portal hypertension assessment", whole_volume(facts, "spleen")
    right = tuple(f"liver_segment_{i}" for i in range(5, 9))
    if isinstance(spleen, Skip):
        yield Skip(subtype, "liver", spleen.reason)
    elif not facts.found("liver_segment_1") or not all(facts.found(name) for name in right):
        yield Skip(subtype, "liver", "segments_not_labelled", "needs masks of liver segments 1 and 5 to 8")
    elif facts.is_cut("liver_segment_1", *right):
        yield Skip(subtype, "liver", "organ_cut_off")
    else:
        ratio = facts.volume_ml("liver_segment_1") / facts.volume_ml(*right)
        if near(spleen, limits.SPLENOMEGALY.value) or near(ratio, CAUDATE_RATIO):
            yield Skip(subtype, "liver", "near_threshold", f"spleen {spleen:.1f} cm3, ratio {ratio:.2f}")
            return
        steps = (
            segment("spleen"), segment("liver_segment_1"), measured("spleen", "volume", spleen, "cm3"), computed("caudate / right lobe volume", ratio),
            rule(f"spleen over {limits.SPLENOMEGALY.value} cm3 and ratio over {CAUDATE_RATIO}"),
        )  # fmt: skip
        yield Draft(subtype, "liver", spleen > limits.SPLENOMEGALY.value and ratio > CAUDATE_RATIO, steps)


def medical(facts: Facts) -> Outcome:
    """All twelve subtypes."""
    for family in (splenomegaly_grading, tumour_type, staging, resectability, cyst_resectability, fat, lesion_density, portal_hypertension):
        yield from family(facts)
