"""Published scorers' numbers, exactly: the golden files were made once by running the published code on invented data (see `made_with`)."""

import json
from pathlib import Path

import numpy as np
import pytest

from vol3d.errors import ConfigError
from vol3d.evaluation.compat import ct_clip, deeptumorvqa, m3d, vlm3d
from vol3d.evaluation.label_metrics import confusion_columns, crg, label_scores, youden_j
from vol3d.evaluation.ranking_metrics import auroc, average_precision


def golden(name):
    return json.loads((Path(__file__).parent / "golden" / f"{name}.json").read_text())


@pytest.mark.parametrize("form", ["mc", "freeform"])
def test_deeptumorvqa_metrics_are_reproduced_to_the_last_digit(form):
    data = golden("deeptumorvqa")
    assert deeptumorvqa.score(data[form], data["benchmark"], form) == data[f"expected_{form}"]


def test_deeptumorvqa_parsers():
    data = golden("deeptumorvqa")
    assert {t: deeptumorvqa.letter(t) for t in data["letters"]} == data["letters"]
    assert {t: deeptumorvqa.yes_no(t) for t in data["binary"]} == data["binary"]
    assert {t: deeptumorvqa.number(t) for t in data["numbers"]} == data["numbers"]


def test_vlm3d_text_labels_and_crg():
    data = golden("vlm3d")
    assert vlm3d.report_scores(data["references"], data["hypotheses"]) == pytest.approx(data["text"], abs=1e-9)
    truth = dict(zip(data["names"], np.array(data["truth"]), strict=True))
    predicted = {name: np.array(row) for name, row in data["predicted"].items()}
    assert vlm3d.label_scores(truth, predicted) == pytest.approx(data["labels"])
    assert vlm3d.crg_score(truth, predicted) == pytest.approx(data["crg"])
    with pytest.raises(ConfigError, match="undefined"):
        vlm3d.crg_score({"a": np.zeros(18, int)}, predicted)


def test_our_crg_f1_and_averages_equal_theirs():
    """The closed form 1 / (3 - 2 J) is the published CRG, and our averages are scikit-learn's."""
    data = golden("vlm3d")
    predicted = np.stack([np.array(data["predicted"].get(name, [0] * 18)) for name in data["names"]])
    sums = confusion_columns(np.array(data["truth"]), predicted).sum(0, keepdims=True)
    assert crg(sums)[0] == pytest.approx(data["crg"]["CRG"], abs=1e-12)
    assert label_scores(sums, "f1")[0].tolist() == pytest.approx(data["per_label_f1"])
    from vol3d.evaluation.label_metrics import label_rows

    rows = {r.metric: r.value for r in label_rows(np.array(data["truth"]), predicted, num_resamples=20)}
    assert (rows["macro_f1"], rows["micro_f1"], rows["weighted_f1"]) == pytest.approx((data["labels"]["f1"], data["micro_f1"], data["weighted_f1"]))


@pytest.mark.parametrize("guess", [0, 1])
def test_all_negative_and_all_positive_score_a_third(guess):
    truth = (np.random.default_rng(0).random((200, 18)) < 0.2).astype(int)
    sums = confusion_columns(truth, np.full_like(truth, guess)).sum(0, keepdims=True)
    assert crg(sums)[0] == pytest.approx(1 / 3)
    assert youden_j(sums)[0] == pytest.approx(0)


def test_guessing_common_labels_scores_above_a_third_without_a_scan():
    rng = np.random.default_rng(0)
    prevalence = np.linspace(0.02, 0.5, 18)
    truth, guess = ((rng.random((2000, 18)) < prevalence).astype(int) for _ in range(2))
    assert youden_j(confusion_columns(truth, guess).sum(0, keepdims=True))[0] > 0.05


def test_ct_clip_thresholds_and_scores():
    data = golden("ct_clip")
    truth, score = np.array(data["truth"]), np.array(data["score"])
    for i, expected in enumerate(data["labels"]):
        found = ct_clip.label_scores(truth[:, i], score[:, i])
        for name in ("threshold", "f1_weighted", "accuracy", "precision", "auroc"):
            assert found[name] == pytest.approx(expected[name], abs=1e-12), (i, name)
        assert found["auroc_low"] == found["auroc_high"] == found["auroc"]
        assert auroc(truth[:, i], score[:, i]) == pytest.approx(expected["auroc"])
        assert average_precision(truth[:, i], score[:, i]) == pytest.approx(expected["ap"])


def test_ct_clip_map_accumulates():
    data = golden("ct_clip")
    found = ct_clip.accumulated_map(np.array(data["latents"]), np.array(data["map_truth"]), ks=(1, 5, 10))
    assert {str(k): v for k, v in found.items()} == pytest.approx(data["map"])


def test_m3d_accepts_all_letters_at_once():
    assert m3d.closed_accuracy([("A. B. C. D.", letter) for letter in "ABCD"]) == 1.0
    assert m3d.closed_accuracy([("B", "B"), ("B.", "B")]) == 0.5
