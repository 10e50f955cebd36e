"""Metrics that packages compute: equal to the packages called directly, to hand-computed values, and named where they are missing."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from vol3d.errors import ConfigError, MissingExtraError
from vol3d.evaluation.meteor import CocoMeteor
from vol3d.evaluation.package_metrics import open_package_metrics, sacrebleu_columns, sacrebleu_of_sums
from vol3d.evaluation.radeval_metrics import radeval_scores
from vol3d.evaluation.text_metrics import bleu, google, rouge_l

GOLDEN = json.loads((Path(__file__).parent / "golden" / "nlg.json").read_text())
REFS, HYPS = GOLDEN["references"], GOLDEN["hypotheses"]
needs_nltk = pytest.mark.skipif(find_spec("nltk") is None, reason="nltk is not installed")


def test_sacrebleu_of_sums_is_its_corpus_score():
    sacrebleu = pytest.importorskip("sacrebleu")
    expected = sacrebleu.metrics.BLEU().corpus_score(HYPS, [REFS]).score
    assert sacrebleu_of_sums(sacrebleu_columns(REFS, HYPS).sum(0, keepdims=True))[0] == pytest.approx(expected, abs=1e-9)


def test_rouge_l_equals_the_installed_rouge_score():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"], use_stemmer=False)
    expected = [scorer.score(r, h)["rougeL"].fmeasure for r, h in zip(REFS, HYPS, strict=True)]
    np.testing.assert_allclose(rouge_l(REFS, HYPS, tokeniser=google, beta=1.0), expected, atol=1e-12)


def test_rows_carry_the_signature_and_name_what_is_missing():
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    with open_package_metrics() as metrics:
        rows = {r.metric: r for r in metrics.rows(REFS, REFS, num_resamples=20)}
    assert rows["sacrebleu/bleu"].value == pytest.approx(100.0)
    assert rows["rouge_score/rouge2"].value == 1.0
    assert "tok:13a" in metrics.signatures["sacrebleu"]
    assert {"meteor_nltk", "meteor_coco"} == ({*metrics.missing} | {*metrics.signatures}) - {"sacrebleu", "rouge_score"}
    assert all("Run: " in why or "Java" in why for why in metrics.missing.values())


def test_the_java_program_starts_only_where_it_is_asked_for(monkeypatch):
    started = []
    monkeypatch.setattr("vol3d.evaluation.meteor.find_spec", lambda name: started.append(name))  # None: not installed
    with open_package_metrics() as metrics:
        assert "--meteor-java" in metrics.missing["meteor_coco"]
    assert started == []
    with open_package_metrics(meteor_java=True) as metrics:
        assert "vol3d[meteor]" in metrics.missing["meteor_coco"]
    assert started == ["pycocoevalcap"]


# One synset in WordNet's own file format: {tumor, neoplasm}. Offsets are bytes, so they are computed.
_HEADER = "  1 miniature WordNet for tests \n"


def _miniature_wordnet(folder: Path) -> Path:
    root = folder / "corpora" / "wordnet"
    root.mkdir(parents=True)
    for part in ("adj", "adv", "verb", "noun"):
        (root / f"data.{part}").write_text(_HEADER)
        (root / f"index.{part}").write_text(_HEADER)
        (root / f"{part}.exc").write_text("")
    offset = f"{len(_HEADER):08d}"
    with (root / "data.noun").open("a") as file:
        file.write(f"{offset} 26 n 02 tumor 0 neoplasm 0 000 | an abnormal growth  \n")
    with (root / "index.noun").open("a") as file:
        file.write("".join(f"{word} n 1 0 1 0 {offset}  \n" for word in ("neoplasm", "tumor")))
    (root / "lexnames").write_text("".join(f"{i:02d}\tnoun.kind{i}\t1\n" for i in range(45)))
    (root / "cntlist.rev").write_text("")
    (root / "index.sense").write_text("")
    return folder


_ASK = """
import json, sys
from vol3d.evaluation.meteor import NltkMeteor
pairs = json.load(sys.stdin)
print(json.dumps(NltkMeteor().scores([r for r, _ in pairs], [h for _, h in pairs]).tolist()))
"""


@needs_nltk
def test_meteor_by_hand(tmp_path):
    """nltk looks for its data once per process, so it is asked in one of its own.

    m matches in c chunks, P and R over words: F = PR / (0.9 P + 0.1 R), times 1 - 0.5 (c / m)^3.
    """
    pairs = [
        ("the liver is normal", "the liver is normal"),  # m 4, c 1: 1 - 0.5 / 64
        ("the liver is normal", "normal is the liver"),  # m 4, c 3 (normal | is | the liver): 1 - 0.5 * 27 / 64
        ("a b c d e f", "a b x c"),  # P 3/4, R 3/6, m 3, c 2
        ("two nodules", "two nodule"),  # the stem matches: m 2, c 1
        ("a tumor", "a neoplasm"),  # the synset matches: m 2, c 1
        ("clear lungs", "pleural effusion"),
    ]
    environment = {**os.environ, "NLTK_DATA": str(_miniature_wordnet(tmp_path))}
    asked = subprocess.run([sys.executable, "-c", _ASK], input=json.dumps(pairs), capture_output=True, text=True, env=environment, check=True)
    f = 0.75 * 0.5 / (0.9 * 0.75 + 0.1 * 0.5)
    expected = [1 - 0.5 / 64, 1 - 0.5 * 27 / 64, f * (1 - 0.5 * (2 / 3) ** 3), 1 - 0.5 / 8, 1 - 0.5 / 8, 0.0]
    assert json.loads(asked.stdout.splitlines()[-1]) == pytest.approx(expected, abs=1e-12)


@needs_nltk
def test_meteor_without_wordnet_says_what_brings_it():
    code = "import nltk; nltk.data.path[:] = []\nfrom vol3d.evaluation.meteor import NltkMeteor\nNltkMeteor()"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = asked.stderr.strip().splitlines()[-1]
    assert "ConfigError" in last
    assert "python -m nltk.downloader wordnet" in last


def test_meteor_of_coco_needs_its_package_and_java(monkeypatch, tmp_path):
    monkeypatch.setattr("vol3d.evaluation.meteor.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"vol3d\[meteor\]"):
        CocoMeteor()
    monkeypatch.undo()
    if find_spec("pycocoevalcap") is not None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConfigError, match="Java"):
            CocoMeteor()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pycocoevalcap") is None or shutil.which("java") is None, reason="needs pycocoevalcap and Java")
def test_meteor_of_coco_equals_pycocoevalcap():
    from pycocoevalcap.meteor.meteor import Meteor

    whole, each = Meteor().compute_score({i: [r] for i, r in enumerate(REFS)}, {i: [h] for i, h in enumerate(HYPS)})
    with CocoMeteor() as meteor:
        ours, ours_each = meteor.scores(REFS, HYPS)
        assert meteor.scores(["x"], ["x"])[0] == 1.0
    assert ours == whole
    assert ours_each.tolist() == each


def test_radeval_is_missed_with_its_command(monkeypatch):
    monkeypatch.setattr("vol3d.evaluation.radeval_metrics.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"vol3d\[metrics-full\]"):
        radeval_scores(["a"], {"": ["a"]}, ["radgraph"])
    with pytest.raises(ConfigError, match="unknown metric"):
        radeval_scores(["a"], {"": ["a"]}, ["bertscore_of_dreams"])


def test_a_python_without_radeval_says_so(tmp_path):
    with pytest.raises(ConfigError, match="no such Python"):
        radeval_scores(["a"], {"": ["a"]}, ["bleu"], python=tmp_path / "nowhere")
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(MissingExtraError, match="not installed there"):
        radeval_scores(["a"], {"": ["a"]}, ["bleu"], python=bare)


@pytest.mark.slow
def test_bleu_of_radeval_is_ours_and_unreachable_models_are_named():
    """VOL3D_RADEVAL_PYTHON names a Python that has radeval, where this one has not."""
    python = os.environ.get("VOL3D_RADEVAL_PYTHON")
    if python is None and find_spec("radeval") is None:
        pytest.skip("radeval is not installed")
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    systems = {"": HYPS, "perfect": REFS}
    found = radeval_scores(REFS, systems, ["bleu", "rouge", "f1radbert_ct"], python=python, environment=offline)
    expected = [bleu([r], [h])[3] for r, h in zip(REFS, HYPS, strict=True)]
    np.testing.assert_allclose(found.scores["bleu"][""], expected, atol=1e-9)
    rows = {r.metric: r.value for r in found.rows("perfect", None, num_resamples=20)}
    assert rows["radeval/rougeL"] == 1.0
    assert ("f1radbert_ct" in found.missing) != ("radbert/macro_f1" in rows)
