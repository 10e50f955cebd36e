"""Probes put to models whose answers are known: one that looks, one that only reads its evidence, one that does neither."""

import json

import numpy as np
import pytest

from tests.vol3d.tiny_model import save_tiny_model
from vol3d.contracts import Evidence, ExpertCall, ExpertCard, LabelMap, Measurement, Status
from vol3d.errors import ConfigError
from vol3d.evaluation.evidence_probes import EVIDENCE_PROBES, ExchangedStructures, RemovedEvidence, WrongNumbers
from vol3d.evaluation.models import Reply
from vol3d.evaluation.models.run import read_predictions
from vol3d.evaluation.probe_runs import NAMES, alignment_rows, run_probes, swap_partners
from vol3d.evaluation.probe_table import probe_table
from vol3d.evaluation.vqa_table import item_from_record
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

NUM = 8
CARD = ExpertCard(
    name="seg", version="1", modalities=("CT",), summary="", targets=("liver", "spleen", "kidney_left"), arguments=("liver", "spleen", "kidney_left"),
    cost="", licence="", commercial_use=True, weights="",
)  # fmt: skip
VOLUMES = {"liver": 1500.0, "spleen": 200.0, "kidney_left": 150.0}


class Panel:
    """Knows three volumes of every scan."""

    def cards(self, modality):
        return (CARD,)

    def vocabulary(self):
        return CARD.arguments

    def gather(self, volume, call):
        found = tuple(
            Measurement(name=n, value=v, unit=u, structure=s, method="", mask_id="seg")
            for s in call.arguments
            for n, v, u in (("volume", VOLUMES[s], "ml"), ("side", "left", ""), ("num_components", 2, ""))
        )
        array = np.zeros((2, 2, 2), np.uint8)
        array[0, 0, :2] = 1, 2
        labels = LabelMap(array, np.eye(4), {1: "liver", 2: "spleen"}, "s", "seg", "1")
        return Evidence(found, (), masks={str(call): labels}, statuses=dict.fromkeys(call.arguments, Status.FOUND))


class Looks:
    """Says on which side the scan is bright."""

    name, settings = "looks", {"feed": "volume"}

    def answer(self, volume, prompt):
        if volume is None:
            return "A"
        array = volume.canonical().numpy().astype(float)
        half = array.shape[2] // 2
        return "A" if array[..., :half].mean() >= array[..., half:].mean() else "B"


class Reads:
    """Answers with the volume that its panel tells it."""

    name, settings = "reads", {"feed": "evidence"}

    def __init__(self, panel=None):
        self.panel = panel or Panel()

    def with_evidence(self, wrap):
        return Reads(wrap(self.panel))

    def answer(self, volume, prompt):
        return self.reply(volume, prompt).text

    def reply(self, volume, prompt):
        if volume is None:
            return Reply("B", 0.3, "answered")
        item = self.panel.gather(volume, ExpertCall("seg", ("liver",))).find("liver", "volume")
        if item is None:
            return Reply("Not covered.", None, "not_covered")
        return Reply("A" if abs(item.value - 1500) < 1 else "B", 0.9, "answered")


@pytest.fixture
def corpus(tmp_path):
    records = []
    for i in range(NUM):
        array = np.full((6, 8, 8), -1000, np.int16)
        left = i % 2 == 0
        array[:3, :, :4] = 40 if left else -1000  # x runs to the patient's right
        array[:3, :, 4:] = -1000 if left else 40
        write_volume(Volume(array, make_affine((5, 5, 5)), "CT", "HU"), tmp_path / f"s{i}.nii.gz")
        correct = "A" if left else "B"
        records.append({"qid": i, "image_id": f"s{i}", "question": "Which side?", "answer": "left" if left else "right", "mc_question": "Which side? A. left B. right", "correct_option": correct})  # fmt: skip
    return tmp_path, records


def _values(folder, records, files):
    items = [item_from_record(r, "mc") for r in records]
    read = {name: read_predictions(path) for name, path in files.items()}
    rows = probe_table(items, read.pop("base"), read, num_resamples=100)
    return {r.metric: r.value for r in rows}, {r.metric: r for r in rows}


def test_a_model_that_looks_loses_what_it_must_lose(corpus):
    folder, records = corpus
    files, skipped = run_probes(Looks(), records, folder, folder / "out")
    assert set(skipped) == set(EVIDENCE_PROBES)
    assert set(files) == {"base", *NAMES} - set(EVIDENCE_PROBES)
    values, rows = _values(folder, records, files)
    assert values["base"] == 1.0
    assert values["mirrored/score"] == 0.0
    assert values["mirrored/swapped_sides"] == 1.0
    assert values["stored_otherwise/changed"] == values["noise/changed"] == 0.0
    assert values["no_image/score"] == values["blank/score"] == 0.5
    assert values["mirrored/p_value"] == 2 / 2**NUM
    assert values["mirrored/p_adjusted"] >= values["mirrored/p_value"]
    assert rows["blank/drop"].ci_low <= 0.5 <= rows["blank/drop"].ci_high


def test_a_model_that_reads_its_evidence(corpus):
    folder, records = corpus
    files, skipped = run_probes(Reads(), records, folder, folder / "out", names=["no_image", "mirrored", *EVIDENCE_PROBES])
    assert not skipped
    values, _ = _values(folder, records, files)
    assert values["mirrored/changed"] == 0.0
    assert values["evidence_wrong/changed"] == 1.0
    assert values["evidence_exchanged/changed"] == 1.0
    assert (values["evidence_removed/declined"], values["evidence_removed/parse_rate"]) == (1.0, 0.0)
    assert (values["base/mean_confidence"], values["no_image/mean_confidence"]) == pytest.approx((0.9, 0.3))


def test_a_run_goes_on_where_it_stopped(corpus):
    folder, records = corpus
    run_probes(Looks(), records[:3], folder, folder / "out", names=["noise"])
    before = (folder / "out" / "noise.jsonl").read_text()
    run_probes(Looks(), records, folder, folder / "out", names=["noise"])
    after = (folder / "out" / "noise.jsonl").read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == NUM


def test_swapping_needs_two_patients_and_never_shows_the_own_one():
    records = [{"image_id": f"valid_{p}_{s}_1"} for p in range(4) for s in "ab"]
    partners = swap_partners(records, np.random.default_rng(0))
    assert all(a.split("_")[1] != b.split("_")[1] for a, b in partners.items())
    assert swap_partners(records[:2], np.random.default_rng(0)) is None
    with pytest.raises(ConfigError, match="no such probe"):
        run_probes(Looks(), records, "x", "y", names=["nonsense"])


def test_wrong_evidence_is_wrong_the_same_way_twice():
    scan = Volume(np.zeros((2, 2, 2), np.int16), make_affine((1, 1, 1)), "CT", "HU", source="s")
    call = ExpertCall("seg", ("liver",))
    one, two = (WrongNumbers(Panel()).gather(scan, call) for _ in range(2))
    assert one.measurements == two.measurements
    volume, side, count = one.measurements
    assert 1 / 3 <= abs(volume.value / 1500.0 - 1) <= 1 / 2
    assert side.value == "right"
    assert count.value in (3, 4)
    other = ExchangedStructures(Panel()).gather(scan, call)
    assert other.find("liver", "volume").value in (200.0, 150.0)
    assert other.statuses == {"liver": Status.FOUND}
    assert all(set(labels.names.values()) <= {"liver"} for labels in other.masks.values())
    gone = RemovedEvidence(Panel()).gather(scan, call)
    assert (gone.measurements, gone.statuses) == ((), {"liver": Status.NOT_COVERED})


def test_alignment_is_chance_for_a_blind_representation_and_perfect_for_an_aligned_one():
    names = [f"s{i}" for i in range(10)]
    blind = {r.metric: r.value for r in alignment_rows(np.zeros((10, 10)), names, num_resamples=20)}
    aligned = {r.metric: r.value for r in alignment_rows(np.eye(10), names, num_resamples=20)}
    assert (aligned["alignment/recall@1"], aligned["alignment/margin"]) == (1.0, 1.0)
    assert (blind["alignment/recall@1"], blind["alignment/margin"]) == (0.0, 0.0)
    assert blind["alignment/median_rank"] == 5.5


def test_our_own_model_under_the_command(corpus, tmp_path, capsys):
    from vol3d.cli.main import main

    folder, records = corpus
    for i in range(2):  # larger, so that there is a body to look at
        array = np.full((16, 24, 24), -1000, np.int16)
        array[2:14, 4:20, 4:20] = 40 + 20 * i
        write_volume(Volume(array, make_affine((5, 5, 5)), "CT", "HU"), folder / f"s{i}.nii.gz")
    (folder / "q.jsonl").write_text("\n".join(map(json.dumps, records[:2])))
    model = tmp_path / "model"
    model.mkdir()
    save_tiny_model(model)
    arguments = ["--run", f"vol3d:{model}", "--questions", folder / "q.jsonl", "--scans", folder, "--answers", folder / "a", "--inspect"]
    code = main(["evaluate", "probes", *map(str, arguments), "--probes", "swapped", "evidence_wrong", "--resamples", "20", "--json"])
    out = capsys.readouterr()
    assert code == 0, out.err
    rows = {r["metric"]: r["value"] for r in json.loads(out.out)["rows"]}
    assert {"swapped/drop", "evidence_wrong/changed", "collapse/effective_rank", "alignment/recall@1", "alignment/margin"} <= set(rows)
    assert rows["collapse/effective_rank"] == pytest.approx(1.0)  # two scans leave one direction
