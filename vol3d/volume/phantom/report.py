"""Findings and impression in varied words, from the same lesions and statuses as the masks: nothing is said that is not so."""

from dataclasses import dataclass

import numpy as np

from vol3d.contracts import LabelMap, Status
from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.labels import CARDIOMEGALY_SCALE, wholly_covered
from vol3d.volume.phantom.lesions import ELLIPSOIDS
from vol3d.volume.phantom.phantom import Lesion
from vol3d.volume.phantom.phrases import CUT, IMPRESSION, NEGATIVE, NO_FINDING, NORMAL, NOT_COVERED, POSITIVE, SIZE_CUT, TECHNIQUE

_CHEST_GROUPS = (
    ("trachea", "lung_nodule", "lung_ground_glass_nodule", "consolidation", "atelectasis", "emphysema"),
    ("pleural_effusion",),
    ("heart", "pericardial_effusion", "coronary_calcification"),
    ("aortic_calcification",),
    ("lymph_node", "hiatal_hernia"),
)
_ABDOMEN_GROUPS = (
    ("liver_tumour", "liver_cyst", "gallbladder"),
    ("spleen",),
    ("pancreas_lesion",),
    ("kidney_tumour", "kidney_cyst", "adrenal_gland_left", "urinary_bladder"),
)
_BONES = (("bone_lesion",),)
_ORGANS_CUT = ("liver", "kidneys", "lungs")
_ALWAYS_NEGATED = 0.8


@dataclass(frozen=True)
class _Writer:
    """What the sentences are made from."""

    lesions: tuple[Lesion, ...]
    labels: LabelMap
    build: Build
    rng: np.random.Generator

    def pick(self, options: tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def seen(self, kind: str) -> tuple[Lesion, ...]:
        """Visible lesions of a kind, the largest first."""
        found = [lesion for lesion in self.lesions if lesion.kind == kind and lesion.visible_ml]
        return tuple(sorted(found, key=lambda lesion: -(lesion.visible_ml or 0)))

    def status(self, name: str) -> Status:
        return self.labels.statuses.get(name, Status.NOT_COVERED)


def ct_report(lesions: tuple[Lesion, ...], labels: LabelMap, build: Build, region: str) -> tuple[str, str]:
    """Findings and impression of a CT phantom."""
    writer = _Writer(lesions, labels, build, build.rng(f"words/{region}"))
    rng = writer.rng
    parts = [[groups[i] for i in rng.permutation(len(groups))] for groups in (_CHEST_GROUPS, _ABDOMEN_GROUPS)]
    if rng.random() < 0.3:
        parts.reverse()
    sentences = [writer.pick(TECHNIQUE[build.phase])] if rng.random() < 0.5 else []
    for group in (*parts[0], *parts[1], *_BONES):
        for topic in group:
            sentences += _about(writer, topic)
    sentences += _coverage(writer)
    return " ".join(sentences), _impression(writer, (*_CHEST_GROUPS, *_ABDOMEN_GROUPS, *_BONES))


def mr_report(lesions: tuple[Lesion, ...], labels: LabelMap, build: Build, contrast: str) -> tuple[str, str]:
    """Findings and impression of a head MR phantom."""
    writer = _Writer(lesions, labels, build, build.rng(f"words/{contrast}"))
    names = {"t1": "T1-weighted", "t1c": "Contrast-enhanced T1-weighted", "t2": "T2-weighted", "flair": "FLAIR"}
    sentences = [f"{names[contrast]} MR of the head.", *_about(writer, "brain_tumour")]
    if not writer.seen("brain_tumour"):
        sentences += _about(writer, "ventricles")
    return " ".join(sentences), _impression(writer, (("brain_tumour",),))


def _about(writer: _Writer, topic: str) -> list[str]:
    """What is said about one kind of lesion, or one organ: present, absent, or nothing where it is not covered."""
    if topic == "heart":
        if not wholly_covered(writer.labels, "heart"):
            return []
        return [writer.pick(NORMAL["cardiomegaly" if writer.build.heart_scale > CARDIOMEGALY_SCALE else "heart"])]
    if topic in NORMAL:
        found = writer.status(topic) is Status.FOUND
        return [writer.pick(NORMAL[topic])] if found and writer.rng.random() < _ALWAYS_NEGATED else []
    seen = writer.seen(topic)
    if topic == "emphysema" and len(seen) == 2:
        return [_positive(writer, seen[0], place="upper lobes of both lungs")]
    if seen:
        return [_positive(writer, lesion) for lesion in seen]
    absent = writer.status(topic) is Status.ABSENT
    return [writer.pick(NEGATIVE[topic])] if absent and writer.rng.random() < _ALWAYS_NEGATED else []


def _positive(writer: _Writer, lesion: Lesion, *, place: str | None = None) -> str:
    text = writer.pick(POSITIVE[lesion.kind])
    amount, tone = _amount(lesion), _tone(lesion)
    return text.format(
        size=_size(writer, lesion),
        long=_long(writer, lesion),
        place=place or lesion.place,
        side=lesion.side,
        volume=f"{float(f'{lesion.visible_ml:.2g}'):.0f} ml",
        amount=amount.capitalize() if lesion.kind == "emphysema" else amount,
        amount_low=amount,
        amount_cap=amount.capitalize(),
        tone=tone,
        tone_cap=tone.capitalize(),
    )


def _amount(lesion: Lesion) -> str:
    if lesion.kind == "pleural_effusion":
        ml = lesion.visible_ml or 0.0
        return "small" if ml < 250 else "moderate" if ml < 700 else "large"
    share = lesion.amount or 0.0
    words = ("mild", "moderate", "severe") if lesion.kind == "emphysema" else ("small", "moderate", "large")
    return words[0] if share < 0.4 else words[1] if share < 0.75 else words[2]


def _tone(lesion: Lesion) -> str:
    density = lesion.density_hu or 0.0
    if lesion.kind == "bone_lesion":
        return "sclerotic" if density > 300 else "lytic"
    return lesion.tone or "hypodense"


def _whole(writer: _Writer, lesion: Lesion) -> bool:
    """Whether the field of view holds all of it."""
    if lesion.centre_ras_mm is None or lesion.diameters_mm is None:
        return True
    affine, shape = writer.labels.affine, writer.labels.array.shape
    centre = np.linalg.solve(affine, np.array([*lesion.centre_ras_mm, 1.0]))[:3]
    half = np.array(lesion.diameters_mm[::-1]) / 2 / np.linalg.norm(affine[:3, :3], axis=0)
    return bool((centre - half > -0.5).all() and (centre + half < np.array(shape) - 0.5).all())


def _size(writer: _Writer, lesion: Lesion) -> str:
    """Axial diameters, the longer first, in mm or cm."""
    x, y, _ = lesion.diameters_mm or (0.0, 0.0, 0.0)
    long, short = max(x, y), min(x, y)
    form = int(writer.rng.integers(4))
    text = (f"{long:g} x {short:g} mm", f"{long:g} mm", f"{long / 10:.3g} x {short / 10:.3g} cm", f"{long:g} x {short:g} mm")[form]
    return text if _whole(writer, lesion) or lesion.kind not in ELLIPSOIDS else f"{text} {SIZE_CUT}"


def _long(writer: _Writer, lesion: Lesion) -> str:
    x, y, _ = lesion.diameters_mm or (0.0, 0.0, 0.0)
    return f"{max(x, y):g} mm" if writer.rng.random() < 0.6 else f"{max(x, y) / 10:.3g} cm"


def _coverage(writer: _Writer) -> list[str]:
    """Which organs the field of view misses or cuts."""
    out = [writer.pick(options) for name, options in NOT_COVERED.items() if writer.status(name) is Status.NOT_COVERED and writer.rng.random() < 0.6]
    array = writer.labels.array
    edge = set(np.unique(array[[0, -1]]).tolist())
    for organ in _ORGANS_CUT:
        if edge & set(writer.labels.ids(organ)) and writer.rng.random() < 0.5:
            text = writer.pick(CUT).format(organ=organ)
            out.append(
                text.replace(" is only", " are only").replace("Only part of the kidneys is", "The kidneys are only partly")
                if organ.endswith("s")
                else text
            )
    return out


def _impression(writer: _Writer, groups: tuple[tuple[str, ...], ...]) -> str:
    lines = []
    for kind in (topic for group in groups for topic in group):
        seen = writer.seen(kind)
        if kind == "heart" and wholly_covered(writer.labels, "heart") and writer.build.heart_scale > CARDIOMEGALY_SCALE:
            lines.append(writer.pick(IMPRESSION["cardiomegaly"]))
        if not seen:
            continue
        largest = max(seen, key=lambda lesion: max((lesion.diameters_mm or (0.0, 0.0))[:2]))
        sides = {lesion.side for lesion in seen}
        side = "bilateral" if len(sides) > 1 else str(largest.side)
        fields = {
            "plural": "s" if len(seen) > 1 else "",
            "long": _long(writer, largest),
            "side": side,
            "side_cap": side.capitalize(),
            "tone_cap": _tone(largest).capitalize(),
        }
        lines.append(writer.pick(IMPRESSION[kind]).format(**fields))
    return " ".join(lines) or writer.pick(NO_FINDING)
