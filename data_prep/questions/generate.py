"""Questions of one scan, and of a corpus: facts once, families over them, then wording, letters and balance."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_prep.questions.balance import Placed, balance
from data_prep.questions.brain import brain
from data_prep.questions.chest import chest
from data_prep.questions.comparison import comparison
from data_prep.questions.facts import Facts
from data_prep.questions.lesions import lesions
from data_prep.questions.measurement import measurement
from data_prep.questions.medical import medical
from data_prep.questions.model import Draft, Outcome, Skip
from data_prep.questions.recognition import recognition
from data_prep.questions.writer import Scan, write
from vol3d.contracts import LabelMap, Measurement
from vol3d.errors import ConfigError
from vol3d.volume.volume import Volume

FAMILIES: Mapping[str, tuple[Callable[[Facts], Outcome], ...]] = {
    "abdomen": (recognition, measurement, lesions, comparison, medical),
    "chest": (chest,),
    "brain": (brain,),
}
# A family is asked where the masks speak about at least one of these.
_SPEAKS = {
    "abdomen": ("liver", "spleen", "kidney_left", "kidney_right", "pancreas"),
    "chest": ("lungs", "lung_left", "lung_nodule", "pleural_effusion", "pleural_effusion_left", "heart"),
    "brain": ("brain", "brain_tumour"),
}


@dataclass(frozen=True)
class Generated:
    """Records, the questions that were not asked with their reasons, and how many balance left out per subtype."""

    records: tuple[dict[str, Any], ...]
    skipped: tuple[Skip, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One scan of a corpus, reduced to its drafts: small, so that a corpus of any size fits into memory."""

    scan: Scan
    drafts: tuple[Draft, ...]
    skipped: tuple[Skip, ...]


def draft_case(
    volume: Volume,
    labels: LabelMap,
    *,
    image_id: str | None = None,
    patient: str | None = None,
    phase: str | None = None,
    measurements: Sequence[Measurement] | None = None,
    families: Iterable[str] | None = None,
    sex: str | None = None,
    age: int | None = None,
) -> Case:
    """All questions that the masks of a scan can answer, in facts."""
    facts = Facts(volume, labels, phase=phase, measurements=measurements)
    drafts: list[Draft] = []
    skipped: list[Skip] = []
    for name in _asked(families, labels):
        for family in FAMILIES[name]:
            for outcome in family(facts):
                (drafts if isinstance(outcome, Draft) else skipped).append(outcome)  # type: ignore[arg-type]
    name = image_id or labels.source or volume.source or "scan"
    return Case(Scan(name, patient or name, volume.spacing_mm, volume.shape, sex, age, facts.phase), tuple(drafts), tuple(skipped))


def _asked(families: Iterable[str] | None, labels: LabelMap) -> list[str]:
    if families is None:
        known = set(labels.structures)
        return [name for name, structures in _SPEAKS.items() if known.intersection(structures)]
    unknown = [name for name in families if name not in FAMILIES]
    if unknown:
        raise ConfigError("unknown question family", expected=" | ".join(FAMILIES), found=", ".join(unknown))
    return list(families)


def generate(
    volume: Volume,
    labels: LabelMap,
    rng: np.random.Generator,
    *,
    per_subtype: int | None = None,
    **about: Any,
) -> Generated:
    """Questions of one scan.

    Args:
        volume: the scan.
        labels: masks on its grid; a name without voxels counts as looked for and absent.
        rng: wordings, distractors, letters, and which questions stay under `per_subtype`.
        per_subtype: at most so many questions of a subtype; None: all.
        about: `image_id`, `patient`, `phase` (contrast), `measurements` (of `experts3d.measure`), `families`, `sex`, `age`.

    >>> from vol3d.volume.phantom import phantom_ct
    >>> body = phantom_ct(1, shape_zyx=(40, 48, 48), spacing_mm=(8, 8, 8), region="abdomen")
    >>> made = generate(body.volume, body.labels, np.random.default_rng(0))
    >>> {r["question_type"] for r in made.records} >= {"measurement", "visual reasoning"}
    True
    """
    case = draft_case(volume, labels, **about)
    placed = _thinned([Placed(0, draft) for draft in case.drafts], per_subtype, rng)
    return Generated(tuple(_write(placed, [case], rng)), case.skipped)


def generate_corpus(cases: Sequence[Case], rng: np.random.Generator, *, per_subtype: int | None = None, balanced: bool = True) -> Generated:
    """Questions of many scans (`draft_case` of each), balanced so that a reader without scans gains nothing."""
    drafts = [(number, draft) for number, case in enumerate(cases) for draft in case.drafts]
    placed, left_out = balance(drafts, rng) if balanced else ([Placed(*pair) for pair in drafts], {})
    if per_subtype is not None and balanced:
        raise ConfigError("thinning would undo the balance", hint="Leave out per_subtype, or pass balanced=False.")
    placed = sorted(_thinned(placed, per_subtype, rng), key=lambda p: p.case)
    return Generated(tuple(_write(placed, cases, rng)), tuple(skip for case in cases for skip in case.skipped), left_out)


def _thinned(placed: list[Placed], per_subtype: int | None, rng: np.random.Generator) -> list[Placed]:
    if per_subtype is None:
        return placed
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, item in enumerate(placed):
        groups[item.case, item.draft.subtype].append(index)
    keep = {group[i] for group in groups.values() for i in rng.permutation(len(group))[:per_subtype]}
    return [item for index, item in enumerate(placed) if index in keep]


def _write(placed: Sequence[Placed], cases: Sequence[Case], rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    turn: dict[str, int] = defaultdict(lambda: int(rng.integers(4)))
    order = rng.permutation(len(placed))  # letters go round, but not along the corpus's own order
    positions = {}
    for index in order.tolist():
        subtype = placed[index].draft.subtype
        positions[index] = turn[subtype]
        turn[subtype] += 1
    counts: dict[int, int] = defaultdict(int)
    for index, item in enumerate(placed):
        scan = cases[item.case].scan
        qid = f"{scan.image_id}-{counts[item.case]:04d}"
        counts[item.case] += 1
        yield write(item.draft, scan, rng, qid=qid, wrong=item.wrong, position=positions[index])
