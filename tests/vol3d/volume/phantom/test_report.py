"""Reports and labels: every sentence is known, and true of the masks."""

import re

import numpy as np
import pytest

from vol3d.contracts import Status
from vol3d.volume.phantom import Lesion, Phantom, phantom_ct, phantom_mr
from vol3d.volume.phantom.build import draw_build
from vol3d.volume.phantom.labels import ABNORMALITIES, CARDIOMEGALY_SCALE
from vol3d.volume.phantom.phrases import CUT, IMPRESSION, NEGATIVE, NO_FINDING, NORMAL, NOT_COVERED, POSITIVE, TECHNIQUE

SMALL = {"shape_zyx": (64, 96, 96), "spacing_mm": (5.0, 5.0, 5.0)}
FIELD = {
    "size": r"[\d.]+(?: x [\d.]+)? (?:mm|cm)(?: of which only a part is covered)?",
    "long": r"[\d.]+ (?:mm|cm)",
    "volume": r"\d+ ml",
    "side": "left|right|bilateral",
    "plural": "s?",
}


def pattern(template: str) -> re.Pattern[str]:
    """A template as a regular expression with one named group per field."""
    parts = re.split(r"\{(\w+)\}", template)
    text = "".join(re.escape(part) if i % 2 == 0 else f"(?P<{part}>{FIELD.get(part, '.+?')})" for i, part in enumerate(parts))
    return re.compile(f"^{text}$")


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.)\s+(?=[A-Z])", text)


def find(sentence: str, table: dict[str, tuple[str, ...]]) -> list[tuple[str, dict[str, str]]]:
    """(topic, fields) of all templates that a sentence fits."""
    return [
        (topic, match.groupdict()) for topic, templates in table.items() for template in templates if (match := pattern(template).match(sentence))
    ]


def size_mm(text: str) -> list[float]:
    numbers = [float(v) for v in re.findall(r"[\d.]+", text.split(" of which")[0])]
    return [v * 10 if "cm" in text else v for v in numbers]


def extents_mm(phantom: Phantom, lesion: Lesion) -> tuple[float, float]:
    """Extents of the mask along x and y, the longer first."""
    mask = phantom.labels.array == lesion.label_id
    _, y, x = (np.ptp(axis) + 1 for axis in np.nonzero(mask))
    sizes = (x * phantom.volume.spacing_mm[2], y * phantom.volume.spacing_mm[1])
    return max(sizes), min(sizes)


def is_true(phantom: Phantom, kind: str, fields: dict[str, str]) -> bool:
    """Whether some visible lesion of the kind has this place, side and size in its mask."""
    for lesion in phantom.lesions:
        if lesion.kind != kind or not (phantom.labels.array == lesion.label_id).any():
            continue
        if "place" in fields and fields["place"] not in (lesion.place, "upper lobes of both lungs"):
            continue
        if "side" in fields and fields["side"] != lesion.side:
            continue
        if "volume" in fields and abs(float(fields["volume"][:-3]) - lesion.visible_ml) > 0.06 * lesion.visible_ml + 1:
            continue
        if "size" in fields and "part" not in fields["size"]:
            said, seen = size_mm(fields["size"]), extents_mm(phantom, lesion)
            if any(abs(a - b) > 2 * phantom.volume.spacing_mm[1] for a, b in zip(said, seen, strict=False)):
                continue
        return True
    return False


@pytest.mark.parametrize("region", ["chest", "abdomen", "chest_abdomen"])
@pytest.mark.parametrize("seed", range(8))
def test_every_sentence_is_known_and_true_of_the_masks(seed, region):
    phantom = phantom_ct(seed, **SMALL, region=region)
    fixed = {
        "technique": tuple(t for options in TECHNIQUE.values() for t in options),
        "cut": (*CUT, "The {organ} are only partly included.", "The {organ} are only partly covered.", "Only part of the {organ} are covered."),
    }
    for sentence in sentences(phantom.findings):
        positive, negative = find(sentence, POSITIVE), find(sentence, NEGATIVE)
        assert positive or negative or find(sentence, NORMAL) or find(sentence, NOT_COVERED) or find(sentence, fixed), sentence
        if positive:
            assert any(is_true(phantom, kind, fields) for kind, fields in positive), sentence
        for kind, _ in negative:
            assert phantom.labels.status(kind) is Status.ABSENT, sentence
            assert not phantom.labels.mask(kind).any(), sentence
        for organ, _ in find(sentence, NOT_COVERED):
            assert not phantom.labels.mask(organ).any(), sentence
        for topic, _ in find(sentence, NORMAL):
            assert phantom.labels.status({"cardiomegaly": "heart"}.get(topic, topic)) is Status.FOUND, sentence


@pytest.mark.parametrize("seed", range(7))
def test_every_visible_lesion_is_reported_and_in_the_impression(seed):
    phantom = phantom_ct(seed, **SMALL)
    seen = {lesion.kind for lesion in phantom.lesions if phantom.labels.mask(lesion.structure).any()}
    assert {kind for sentence in sentences(phantom.findings) for kind, _ in find(sentence, POSITIVE)} >= seen
    concluded = {kind for sentence in re.split(r"(?<=\.)\s+", phantom.impression) for kind, _ in find(sentence, IMPRESSION)}
    assert seen <= concluded
    assert (phantom.impression in NO_FINDING) == (not seen and not phantom.report_labels["Cardiomegaly"])


@pytest.mark.parametrize("seed", range(8))
def test_the_18_labels_follow_from_the_masks(seed):
    phantom = phantom_ct(seed, **SMALL, region=("chest", "chest_abdomen")[seed % 2])
    has = {name: bool(phantom.labels.mask(name).any()) for name in (*phantom.labels.structures, "lung_nodule")}
    expected = {
        "Arterial wall calcification": has.get("aortic_calcification"),
        "Coronary artery wall calcification": has.get("coronary_calcification"),
        "Pericardial effusion": has.get("pericardial_effusion"),
        "Hiatal hernia": has.get("hiatal_hernia"),
        "Lymphadenopathy": has.get("lymph_node"),
        "Emphysema": has.get("emphysema"),
        "Atelectasis": has.get("atelectasis"),
        "Lung nodule": has.get("lung_nodule") or has.get("lung_ground_glass_nodule"),
        "Lung opacity": has.get("consolidation") or has.get("lung_ground_glass_nodule"),
        "Consolidation": has.get("consolidation"),
        "Pleural effusion": has.get("pleural_effusion_left") or has.get("pleural_effusion_right"),
    }
    assert tuple(phantom.report_labels) == ABNORMALITIES
    assert len(ABNORMALITIES) == 18
    for name, value in phantom.report_labels.items():
        if name != "Cardiomegaly":
            assert value == int(bool(expected.get(name, False))), name


def test_an_enlarged_heart_is_wide_in_the_masks():
    """The cardiothoracic ratio tells enlarged hearts from normal ones; the label and the words say the same."""
    ratio: dict[int, list[float]] = {0: [], 1: []}
    enlarged = [seed for seed in range(120) if draw_build(seed).heart_scale > CARDIOMEGALY_SCALE]
    for seed in (*enlarged[:5], *sorted({*range(10)} - {*enlarged})[:5]):
        phantom = phantom_ct(seed, shape_zyx=(40, 48, 48), spacing_mm=(10.0, 10.0, 10.0), lesions=())
        width = [np.ptp(np.nonzero(phantom.labels.mask(name))[2]) + 1 for name in ("heart", "lungs")]
        label = phantom.report_labels["Cardiomegaly"]
        ratio[label].append(width[0] / width[1])
        said = {topic for sentence in sentences(phantom.findings) for topic, _ in find(sentence, NORMAL)}
        assert ("cardiomegaly" in said) == bool(label)
        assert ("heart" in said) == (not label)
    assert len(ratio[1]) == len(ratio[0]) == 5
    assert min(ratio[1]) > np.mean(ratio[0]) + 0.03


def test_wording_varies():
    texts = {phantom_ct(seed, shape_zyx=(16, 24, 24), spacing_mm=(20.0, 20.0, 20.0), lesions=()).findings for seed in range(8)}
    assert len(texts) == 8


def test_a_lesion_outside_of_the_field_of_view_is_not_reported():
    phantom = phantom_ct(
        1, shape_zyx=(24, 60, 60), spacing_mm=(5.0, 8.0, 8.0), region="chest", lesions=(Lesion.sphere("kidney_cyst", 30.0, side="left"),)
    )
    assert phantom.lesions[0].visible_ml == 0.0
    assert phantom.labels.status("kidney_cyst_left") is Status.NOT_COVERED
    assert not [item for sentence in sentences(phantom.findings) for item in find(sentence, POSITIVE)]


@pytest.mark.parametrize("seed", range(6))
def test_mr_reports_are_true(seed):
    phantom = phantom_mr(seed, shape_zyx=(48, 60, 60), spacing_mm=(4.0, 4.0, 4.0))
    topics = [item for sentence in sentences(phantom.findings) for table in (POSITIVE, NEGATIVE) for item in find(sentence, table)]
    assert topics
    has = phantom.labels.mask("brain_tumour").any()
    for kind, fields in topics:
        assert kind == "brain_tumour"
        assert is_true(phantom, kind, fields) if fields else not has
