"""Classification, retrieval and probes on embeddings and volumes whose answers are known."""

import numpy as np
import pytest

from vol3d.errors import ConfigError
from vol3d.evaluation.classification import (
    PROMPT_SETS,
    RAD_CHESTCT,
    classification_rows,
    thresholds_from_validation,
    to_rad_chestct,
    weighted_auroc,
    zero_shot_sigmoid,
    zero_shot_softmax,
)
from vol3d.evaluation.probes import PROBES, collapse_rows, effective_rank
from vol3d.evaluation.ranking_metrics import auroc, best_threshold, calibration
from vol3d.evaluation.retrieval import average_precision_at, cosine, first_hit_rank, label_overlap_at, relevance, retrieval_rows
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume


def test_zero_shot_forms():
    images = np.array([[1.0, 0], [0, 1]])
    positive, negative = np.array([[[1.0, 0]]]), np.array([[[0.0, 1]]])
    assert zero_shot_softmax(images, positive, negative, scale=2.0)[:, 0] == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))])
    assert zero_shot_sigmoid(images, positive, scale=2.0, bias=-1.0)[:, 0] == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])
    assert PROMPT_SETS["ct_clip"].sentences("Emphysema") == (("Emphysema is present.",), ("Emphysema is not present.",))


def test_weighted_auroc_of_counts_is_auroc_of_repeats():
    rng = np.random.default_rng(0)
    truth, score = (rng.random(60) < 0.4).astype(int), np.round(rng.random(60), 1)  # ties
    weights = rng.integers(0, 3, (5, 60)).astype(float)
    for w, found in zip(weights, weighted_auroc(truth, score, weights), strict=True):
        assert found == pytest.approx(auroc(np.repeat(truth, w.astype(int)), np.repeat(score, w.astype(int))))


def test_classification_rows_of_an_informed_and_a_random_model():
    rng = np.random.default_rng(1)
    truth = (rng.random((300, 3)) < 0.3).astype(int)
    informed = np.clip(0.4 * truth + 0.6 * rng.random((300, 3)), 0, 1)
    thresholds = thresholds_from_validation(truth[:100], informed[:100])
    rows = {
        r.metric: r
        for r in classification_rows(
            truth[100:], informed[100:], ["a", "b", "c"], [i // 2 for i in range(200)], thresholds=thresholds, num_resamples=100
        )
    }
    assert rows["auroc"].value > 0.9
    assert rows["auroc"].ci_low < rows["auroc"].value <= rows["auroc"].ci_high
    assert rows["j"].value > 0.5
    blind = {r.metric: r for r in classification_rows(truth, rng.random((300, 3)), ["a", "b", "c"], thresholds=np.full(3, 0.5), num_resamples=50)}
    assert blind["auroc"].ci_low < 0.5 < blind["auroc"].ci_high
    with pytest.raises(ConfigError):
        classification_rows(truth, informed, ["a"], thresholds=thresholds)


def test_best_threshold_and_calibration_by_hand():
    truth, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.9])
    assert best_threshold(truth, score) == 0.5  # F1 0.8 at 0.5, 0.67 at 0.9
    assert calibration(np.array([0, 1]), np.array([0.0, 1.0])) == {"brier": 0.0, "ece": 0.0}
    assert calibration(np.array([1, 1]), np.array([0.5, 0.5]))["ece"] == 0.5


def test_rad_chestct_merges_the_two_calcifications():
    names = (*RAD_CHESTCT, "Coronary artery wall calcification", "Mosaic attenuation pattern")
    probability = np.zeros((1, 18))
    probability[0, 16] = 0.9
    merged, kept = to_rad_chestct(probability, names)
    assert len(kept) == 16
    assert merged[0, kept.index("Arterial wall calcification")] == 0.9


def test_retrieval_by_hand():
    similarity = np.array([[0.9, 0.8, 0.1], [0.9, 0.5, 0.7], [0.2, 0.2, 0.2]])
    relevant = np.eye(3, dtype=bool)
    assert first_hit_rank(similarity, relevant).tolist() == [1, 3, 2]  # constant scores rank in the middle
    assert average_precision_at(similarity, relevant, 3).tolist() == pytest.approx([1, 1 / 3, 1 / 3])
    several = np.array([[True, False, True]])
    assert average_precision_at(np.array([[0.9, 0.8, 0.7]]), several, 3)[0] == pytest.approx((1 + 2 / 3) / 2)
    rows = {r.metric: r.value for r in retrieval_rows(similarity, relevant, ks=(1, 2), pools=(2,), num_resamples=20)}
    assert (rows["recall@1"], rows["recall@2"], rows["median_rank"]) == pytest.approx((1 / 3, 2 / 3, 2.0))
    assert rows["chance_recall@1"] == pytest.approx(1 / 3)


def test_a_scan_never_finds_itself_and_equal_reports_are_hits():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20, 8))
    names = [i // 2 for i in range(20)]  # two reconstructions of each scan
    similarity, relevant = cosine(features, features), relevance(names, names)
    with_self = {r.metric: r.value for r in retrieval_rows(similarity, relevant, ks=(1,), pools=(), num_resamples=10)}
    without = {r.metric: r.value for r in retrieval_rows(similarity, relevant, ks=(1,), pools=(), exclude=np.eye(20, dtype=bool), num_resamples=10)}
    assert with_self["recall@1"] == 1.0
    assert without["recall@1"] < 0.4
    with pytest.raises(ConfigError, match="relevant"):
        retrieval_rows(similarity, np.zeros((20, 20), bool))


def test_label_overlap():
    similarity = np.array([[-np.inf, 2.0, 1.0]])
    assert label_overlap_at(similarity, np.array([[1, 1, 0]]), np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]]), 2)[0] == pytest.approx((1 / 2 + 0) / 2)


def _scan():
    array = np.arange(6 * 5 * 4, dtype=np.float32).reshape(6, 5, 4)
    return Volume(array, make_affine((3, 1, 1)), "CT", "HU")


@pytest.mark.parametrize("name", list(PROBES))
def test_probes_keep_a_readable_scan(name):
    out = PROBES[name].apply(_scan(), np.random.default_rng(0))
    assert np.isfinite(out.numpy()).all()
    assert out.spacing_mm == (3.0, 1.0, 1.0)


def test_probes_do_what_they_say():
    scan, rng = _scan(), np.random.default_rng(1)
    assert np.ptp(PROBES["blank"].apply(scan, rng).numpy()) == 0
    assert sorted(PROBES["shuffled_slices"].apply(scan, rng).numpy().ravel()) == sorted(scan.numpy().ravel())
    assert (PROBES["mirrored"].apply(scan, rng).numpy() == scan.numpy()[:, :, ::-1]).all()
    other = PROBES["stored_otherwise"].apply(scan, rng)
    assert other.orientation != scan.orientation
    assert (other.canonical().numpy() == scan.canonical().numpy()).all()
    assert PROBES["half_covered"].apply(scan, rng).shape == (3, 5, 4)
    assert PROBES["narrow_window"].apply(scan, rng).numpy().max() <= 250


def test_collapse_is_seen():
    rng = np.random.default_rng(0)
    assert effective_rank(rng.normal(size=(500, 16))) > 15
    collapsed = {r.metric: r.value for r in collapse_rows(np.ones((50, 16)) + 1e-3 * rng.normal(size=(50, 1)))}
    assert collapsed["effective_rank"] == pytest.approx(1.0, abs=0.01)
    assert collapsed["mean_cosine"] > 0.999
    with pytest.raises(ConfigError):
        collapse_rows(np.ones((1, 4)))
