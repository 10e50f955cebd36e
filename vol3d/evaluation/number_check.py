"""Do the numbers of a report agree with the masks? Each one is compared with what was measured, or it is said why it cannot be.

A number agrees if some component of a structure that it may speak about, on the side that the sentence names, has that size, volume or density within the
tolerance. This is a lenient test (it forgives a number that fits another lesion of the same kind), so what it calls wrong is wrong.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from vol3d.contracts import Measurement, Status
from vol3d.errors import ConfigError
from vol3d.evaluation.entities import EntityLike, Extractor
from vol3d.evaluation.number_mentions import NumberMention, Quantity, number_mentions
from vol3d.evaluation.number_ties import named_structures, side_in_name, side_near, tied_structures
from vol3d.evaluation.results import MetricRow, row
from vol3d.evaluation.statistics import cluster_bootstrap
from vol3d.vlm.prompt import FOCAL, is_lesion

Verdict = Literal["agree", "disagree", "not_measurable"]
_NAMES: dict[Quantity, tuple[str, ...]] = {
    "length": ("longest_axial_diameter", "perpendicular_diameter"),
    "volume": ("volume",),
    "attenuation": ("mean_intensity",),
}


@dataclass(frozen=True)
class Tolerance:
    """How far a number may lie from the measured one: the larger of a share of it and a fixed amount, plus half of its last digit.

    A length may also miss by one and a half voxels of the slice, for a mask's edges are that coarse. 2 mm is about what two readers differ by on lung nodules (95% limits of 1.7 mm: Revel 2004, Radiology 231:453).
    """

    share: float = 0.1
    length_mm: float = 2.0
    volume_ml: float = 1.0
    attenuation_hu: float = 10.0

    def of(self, quantity: Quantity, measured: float, resolution: float, voxel_mm: float = 0.0) -> float:
        """The allowed difference from a measured value."""
        fixed = {"length": max(self.length_mm, 1.5 * voxel_mm), "volume": self.volume_ml, "attenuation": self.attenuation_hu}[quantity]
        return max(self.share * abs(measured), fixed) + resolution


@dataclass(frozen=True)
class Measured:
    """What was measured in one scan, as `vol3d measure --json` prints it; `voxel_mm` is the larger step within a slice (0: not known)."""

    measurements: tuple[Measurement, ...]
    statuses: Mapping[str, Status]
    voxel_mm: float = 0.0

    @property
    def structures(self) -> tuple[str, ...]:
        """Everything with a measurement or a status."""
        return tuple(dict.fromkeys([*(m.structure for m in self.measurements), *self.statuses]))

    def status(self, structure: str) -> Status:
        """The status, or what the measurements say."""
        if structure in self.statuses:
            return self.statuses[structure]
        found = [m.status for m in self.measurements if m.structure == structure]
        return found[0] if found else Status.NOT_COVERED

    def numbers(self, structure: str, names: Sequence[str]) -> dict[int | None, dict[str, float]]:
        """Component -> name -> value, for the numbers asked for and `touches_border`."""
        out: dict[int | None, dict[str, float]] = {}
        for m in self.measurements:
            if m.structure == structure and m.name in (*names, "touches_border") and isinstance(m.value, int | float):
                out.setdefault(m.component, {})[m.name] = float(m.value)
        return out

    def extents(self, structure: str) -> list[tuple[float, ...]]:
        """In-plane extents of a whole structure, the larger first: what is one hernia to a reader may be two components of a mask."""
        found = [m.value for m in self.measurements if (m.structure, m.name, m.component) == (structure, "extent_mm", None)]
        return [tuple(sorted(value[1:], reverse=True)) for value in found if isinstance(value, tuple)]

    def side(self, structure: str, component: int | None) -> str:
        """Left, right, midline, or empty where nothing says."""
        named = side_in_name(structure)
        found = (str(m.value) for m in self.measurements if (m.structure, m.name, m.component) == (structure, "side", component) and m.value)
        return named or next(found, "")


@dataclass(frozen=True)
class Checked:
    """One number of a report and its verdict; `measured` is the nearest measured value, `why` what stands in the way of agreement."""

    mention: NumberMention
    sentence: str
    verdict: Verdict
    why: str = ""
    structure: str = ""
    measured: tuple[float, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """For the result file."""
        return {
            "verdict": self.verdict,
            "number": self.mention.text,
            "sentence": self.sentence,
            "structure": self.structure,
            "measured": list(self.measured),
            "unit": {"length": "mm", "volume": "ml", "attenuation": "HU"}[self.mention.quantity],
            "why": self.why,
        }


def read_measured(path: str | Path) -> Measured:
    """Read what `vol3d measure --json` or `vol3d segment --json` printed.

    Errors: ConfigError where the file is something else.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        records = [{key: value for key, value in item.items() if key != "id"} for item in document["measurements"]]
        statuses = {name: Status(value) for name, value in document.get("statuses", {}).items()}
        voxel_mm = max((float(step) for step in document.get("spacing_mm_zyx", [])[1:]), default=0.0)
        return Measured(tuple(Measurement.model_validate(r) for r in records), statuses, voxel_mm)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"not the measurements of a scan: {reason}", path=path, expected="what vol3d measure SCAN --mask MASK --json prints"
        ) from error


def check_report(
    text: str, measured: Measured | None, *, spans: Iterable[tuple[int, int]], extractor: Extractor, tolerance: Tolerance | None = None
) -> tuple[Checked, ...]:
    """Compare every number with a unit of a report with what was measured.

    Args:
        text: the report.
        measured: what the masks of its scan give; None: no masks, so nothing is measurable.
        spans: start and end of each sentence.
        extractor: text -> findings with their places.
        tolerance: allowed differences.
    """
    entities = [e for e in extractor(text) if e.assertion != "past"]
    limits = tolerance or Tolerance()
    out: list[Checked] = []
    for index, (start, end) in enumerate(spans):
        sentence = text[start:end]
        mentions = number_mentions(sentence, start, index)
        inside = [e for e in entities if start <= e.start < end]
        out += [_check(m, mentions, sentence, start, inside, measured, limits) for m in mentions]
    return tuple(out)


def _check(
    mention: NumberMention,
    others: Sequence[NumberMention],
    sentence: str,
    start: int,
    entities: Sequence[EntityLike],
    measured: Measured | None,
    tolerance: Tolerance,
) -> Checked:
    if mention.skip or measured is None:
        return Checked(mention, sentence, "not_measurable", mention.skip or "no measurements of this scan")
    tied = tied_structures(mention, others, sentence, start, entities, measured.structures)
    if not tied:
        organs = mention.quantity == "length" and named_structures(sentence, measured.structures)
        why = "lengths of organs are not measured" if organs else "names nothing that was measured"
        return Checked(mention, sentence, "not_measurable", why)
    side = side_near(sentence, mention.start - start)
    known = [s for s in tied if measured.status(s) in (Status.FOUND, Status.ABSENT) and side_in_name(s) in ("", side or side_in_name(s))]
    if not known:
        return Checked(mention, sentence, "not_measurable", "not covered by the masks", tied[0])
    found = [s for s in known if measured.status(s) is Status.FOUND]
    if not found:
        if mention.denied or mention.bound == "at_most":
            return Checked(mention, sentence, "agree", "the masks have none", known[0])
        return Checked(mention, sentence, "disagree", "the masks have none", known[0])
    return _compare(mention, sentence, side, found, measured, tolerance)


@dataclass(frozen=True)
class _Candidate:
    """The measured numbers of one component (or whole structure), largest first."""

    structure: str
    values: tuple[float, ...]
    cut: bool


def _candidates(mention: NumberMention, structures: Sequence[str], side: str, measured: Measured) -> list[_Candidate]:
    out = []
    names = _NAMES[mention.quantity]
    for structure in structures:
        fitting = False
        for component, numbers in measured.numbers(structure, names).items():
            values = tuple(numbers[name] for name in names if name in numbers)
            where = measured.side(structure, component)
            # A whole finding has no side of its own: its parts may lie on both.
            fits = not side or where in ("", "midline", side) or not is_lesion(structure) or (component is None and mention.quantity == "volume")
            if values and fits:
                out.append(_Candidate(structure, values, bool(numbers.get("touches_border"))))
                fitting = True
        # An extent has no side: it counts where a part of the same structure lies on the side.
        if fitting and mention.quantity == "length" and not any(word in structure for word in FOCAL):
            out += [_Candidate(structure, extent, False) for extent in measured.extents(structure)]
    return out


def _compare(mention: NumberMention, sentence: str, side: str, structures: Sequence[str], measured: Measured, tolerance: Tolerance) -> Checked:
    candidates = _candidates(mention, structures, side, measured)
    if not candidates:
        everywhere = _candidates(mention, structures, "", measured)
        if side and everywhere:
            return Checked(mention, sentence, "disagree", f"the masks have none on the {side}", structures[0], everywhere[0].values)
        return Checked(mention, sentence, "not_measurable", f"no {mention.quantity} of it was measured", structures[0])
    if mention.bound != "value":
        largest = [
            max((c for c in candidates if c.structure == s), key=lambda c: c.values[0]) for s in dict.fromkeys(c.structure for c in candidates)
        ]
        tried = [_bound(mention, sentence, one, tolerance, measured.voxel_mm) for one in largest]
        return next((checked for checked in tried if checked.verdict == "agree"), tried[0])
    misses = {id(c): _excess(mention, c, tolerance, measured.voxel_mm) for c in candidates}
    best = min(candidates, key=lambda c: misses[id(c)])
    if misses[id(best)] <= 0:
        return Checked(mention, sentence, "agree", "", best.structure, best.values)
    cut = [c for c in candidates if c.cut and mention.quantity != "attenuation" and mention.values[0] > c.values[0]]
    if cut:
        return Checked(mention, sentence, "not_measurable", "the scan cuts it off", cut[0].structure, cut[0].values)
    return Checked(mention, sentence, "disagree", "measured otherwise", best.structure, best.values)


def _excess(mention: NumberMention, candidate: _Candidate, tolerance: Tolerance, voxel_mm: float) -> float:
    """By how much the worst of a number's values misses a candidate's, beyond the tolerance."""
    if mention.is_range:
        value, low, high = candidate.values[0], mention.values[0], mention.values[-1]
        return max(low - value, value - high, 0.0) - tolerance.of(mention.quantity, value, mention.resolution, voxel_mm)
    pairs = list(zip(mention.values, candidate.values, strict=False))
    return max(abs(said - real) - tolerance.of(mention.quantity, real, mention.resolution, voxel_mm) for said, real in pairs)


def _bound(mention: NumberMention, sentence: str, largest: _Candidate, tolerance: Tolerance, voxel_mm: float) -> Checked:
    """`Up to 12 mm` is the largest one's size; `no nodule larger than 4 mm` and `smaller than 4 mm` are limits."""
    real, said = largest.values[0], mention.values[0]
    allowed = tolerance.of(mention.quantity, real, mention.resolution, voxel_mm)
    upper = mention.bound == "at_most" or (mention.bound == "at_least" and mention.denied)
    if mention.bound == "largest":
        fits = abs(said - real) <= allowed or (largest.cut and said > real)
    else:
        fits = real <= said + allowed if upper else real >= said - allowed
    return Checked(mention, sentence, "agree" if fits else "disagree", "" if fits else "measured otherwise", largest.structure, largest.values)


def number_rows(
    checked: Sequence[Sequence[Checked]], clusters: Sequence[object] | np.ndarray | None, *, num_resamples: int = 2000, seed: int = 0
) -> list[MetricRow]:
    """Share of measurable numbers that agree, share of numbers that are measurable, disagreements per report."""
    counts = np.array([[sum(c.verdict == v for c in report) for v in ("agree", "disagree", "not_measurable")] for report in checked], dtype=float)
    rng, ones = np.random.default_rng(seed), np.ones(len(counts))
    agree, disagree, rest = counts.T
    wanted = {
        "numbers/agree_share": np.stack([agree, agree + disagree], 1),
        "numbers/measurable_share": np.stack([agree + disagree, agree + disagree + rest], 1),
        "numbers/disagreements_per_report": np.stack([disagree, ones], 1),
    }
    return [
        row(name, cluster_bootstrap(values, clusters, reduce=_share, num_resamples=num_resamples, rng=rng))
        for name, values in wanted.items()
        if values[:, 1].sum() > 0
    ]


def _share(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[:, 0] / sums[:, 1]
