"""The panel as the pipeline sees it: every way to fail is an answer; a question after the first costs no second segmentation."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from experts3d.cache import LabelCache, entry_key, scan_key
from experts3d.cards import all_cards, expert_names, load_expert
from experts3d.panel import Panel, default_panel
from tests.experts3d.scenes import scan_of
from vol3d.contracts import EvidenceSource, Expert, ExpertCall, ExpertCard, LabelMap, Status
from vol3d.errors import ConfigError, ExpertError
from vol3d.volume.volume import Volume


class Halves:
    """An expert that calls the left half of a scan a kidney and the right half another, and counts how often it is run."""

    def __init__(self, *, name: str = "halves", version: str = "1", error: Exception | None = None) -> None:
        self.name, self.version, self.error, self.runs = name, version, error, 0

    @property
    def card(self) -> ExpertCard:
        targets = ("kidney_left", "kidney_right", "liver_cyst")
        return ExpertCard(
            name=self.name,
            version=self.version,
            modalities=("CT",),
            summary="halves",
            targets=targets,
            arguments=targets,
            cost="",
            licence="",
            commercial_use=True,
            weights="",
        )

    def segment(self, volume: Volume, targets: Sequence[str]) -> LabelMap:
        self.runs += 1
        if self.error is not None:
            raise self.error
        array = np.zeros(volume.shape, np.uint8)
        array[1:-1, 1:-1, 1:4], array[1:-1, 1:-1, 5:-1] = 1, 2
        return LabelMap(array, volume.affine, {1: "kidney_left", 2: "kidney_right", 3: "liver_cyst"}, volume.source, self.name, self.version)


SCAN = scan_of(np.random.default_rng(0).integers(-50, 90, (5, 8, 12)).astype(np.int16), (10.0, 5.0, 5.0))


def test_a_call_brings_numbers_words_pictures_and_where_they_come_from():
    evidence = Panel([Halves()]).gather(SCAN, ExpertCall("halves", ("kidney_left", "liver_cyst")))
    assert evidence.statuses == {"kidney_left": Status.FOUND, "liver_cyst": Status.ABSENT, "kidney_right": Status.FOUND}
    assert evidence.find("kidney_left", "volume").value == pytest.approx(3 * 6 * 3 * 0.25)
    assert evidence.find("kidney_left", "larger_kidney").value == "right"
    assert "No liver cyst was found in the scanned region." in [s.text for s in evidence.sentences]
    assert {p.plane for p in evidence.pictures} == {"axial", "coronal", "sagittal"}
    facts = evidence.provenance["<halves(kidney_left, liver_cyst)>"]
    assert (facts["expert"], facts["version"], facts["cached"]) == ("halves", "1", False)
    assert all(m.mask_id.startswith("halves@1:") for m in evidence.measurements)


def test_the_second_question_costs_no_second_segmentation(tmp_path: Path):
    expert = Halves()
    panel = Panel([expert], cache=tmp_path)
    panel.gather(SCAN, ExpertCall("halves", ("kidney_left",)))
    evidence = panel.gather(SCAN, ExpertCall("halves", ("liver_cyst",)))
    assert expert.runs == 1
    assert evidence.provenance["<halves(liver_cyst)>"]["cached"]
    again = Halves()
    same = Panel([again], cache=tmp_path).gather(SCAN, ExpertCall("halves", ("kidney_right",)))
    assert again.runs == 0
    assert same.find("kidney_right", "volume") == panel.gather(SCAN, ExpertCall("halves", ("kidney_right",))).find("kidney_right", "volume")


def test_another_version_or_scan_is_another_entry():
    card = Halves().card
    key = entry_key(scan_key(SCAN), card, ())
    assert key != entry_key(scan_key(SCAN), Halves(version="2").card, ())
    assert key != entry_key(scan_key(SCAN.with_array(SCAN.numpy() + 1)), card, ())
    moved = SCAN.affine.copy()
    moved[0, 3] += 1
    assert scan_key(SCAN) != scan_key(SCAN.with_array(SCAN.numpy(), affine=moved))
    assert entry_key("s", card, ("a", "b")) == entry_key("s", card, ("b", "a"))


def test_parallel_runs_make_one_label_map(tmp_path: Path):
    expert, key = Halves(), entry_key(scan_key(SCAN), Halves().card, ())
    caches = [LabelCache(tmp_path) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda cache: cache.get_or_make(key, lambda: expert.segment(SCAN, ())), caches))
    assert expert.runs == 1
    assert all((labels.array == made[0][0].array).all() for labels, _ in made)


def test_a_damaged_entry_is_made_again(tmp_path: Path):
    expert, key = Halves(), "abc"
    cache = LabelCache(tmp_path)
    cache.get_or_make(key, lambda: expert.segment(SCAN, ()))
    entry = tmp_path / "abc.npz"
    entry.write_bytes(entry.read_bytes()[:100])
    labels, cached = cache.get_or_make(key, lambda: expert.segment(SCAN, ()))
    assert (cached, expert.runs) == (False, 2)
    assert labels.mask("kidney_left").any()
    assert cache.get_or_make(key, lambda: expert.segment(SCAN, ()))[1]


def test_a_label_map_survives_the_cache_whole(tmp_path: Path):
    labels = LabelMap(
        np.array([[[1, 2]]], np.uint16), np.eye(4), {1: "a", 2: "b"}, "s", "e", "1", {"c": Status.NOT_COVERED}, {"ab": (1, 2)}, {"c": "why"}
    )
    LabelCache(tmp_path).get_or_make("k", lambda: labels)
    back, cached = LabelCache(tmp_path).get_or_make("k", lambda: pytest.fail("made again"), source="t")
    assert cached
    assert (back.names, back.unions, back.statuses, back.reasons, back.source) == (labels.names, labels.unions, labels.statuses, labels.reasons, "t")


@pytest.mark.parametrize("error", [ExpertError("weights are missing"), MemoryError("no memory"), ValueError("a bug"), OSError("disk")])
def test_an_expert_that_breaks_is_a_failed_answer(error: Exception):
    evidence = Panel([Halves(error=error)]).gather(SCAN, ExpertCall("halves", ("kidney_left",)))
    assert evidence.statuses == {"kidney_left": Status.FAILED}
    assert evidence.measurements == ()
    assert str(error) in evidence.sentences[0].text


def test_a_wrong_modality_or_name_is_not_covered():
    brain = scan_of(np.zeros((2, 3, 4), np.int16), modality="MR")
    evidence = Panel([Halves()]).gather(brain, ExpertCall("halves", ("kidney_left",)))
    assert evidence.statuses == {"kidney_left": Status.NOT_COVERED}
    assert "reads CT" in evidence.sentences[0].text
    assert Panel([Halves()]).gather(SCAN, ExpertCall("nobody", ("liver",))).statuses == {"liver": Status.NOT_COVERED}


def test_a_structure_that_the_expert_does_not_know_is_not_covered():
    evidence = Panel([Halves()]).gather(SCAN, ExpertCall("halves", ("pancreas",)))
    assert evidence.statuses == {"pancreas": Status.NOT_COVERED}
    assert evidence.sentences[0].text == "Pancreas: not covered."


def test_cards_are_filtered_by_modality_and_the_panel_keeps_the_contract():
    panel = Panel([Halves(), Halves(name="other")])
    assert [card.name for card in panel.cards("CT")] == ["halves", "other"]
    assert panel.cards("MR") == ()
    source: EvidenceSource = panel
    assert {"liver_tumour", "kidney_left", "vertebrae_L1", "lungs"} <= set(source.vocabulary())


def test_experts_are_loaded_by_name():
    assert isinstance(load_expert("threshold_ct"), Expert)
    assert {"threshold_ct", "deepbet", "supplied"} <= set(expert_names())
    assert "threshold_ct" in [card.name for card in all_cards()]
    with pytest.raises(ConfigError, match="no such expert"):
        load_expert("vista9")
    with pytest.raises(ConfigError, match="arguments"):
        load_expert("threshold_ct", colour="red")


def test_the_default_panel_answers_about_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOL3D_CACHE", str(tmp_path))
    evidence = default_panel().gather(SCAN, ExpertCall("threshold_ct", ("lungs",)))
    assert evidence.statuses["lungs"] is Status.NOT_COVERED
    assert list((tmp_path / "experts").glob("*.npz"))
