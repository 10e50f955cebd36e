"""Tiny random models of MedGemma's and Qwen3-VL's architectures answer through their own processors and templates."""

import json

import numpy as np
import pytest
import torch

from vol3d.cli.main import main
from vol3d.evaluation.models.image_text import ImageTextModel
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

from .tiny import gemma3, qwen3_vl


def _scan(value):
    return Volume(np.full((6, 24, 24), value, np.int16), make_affine((5, 5, 5)), "CT", "HU")


@pytest.mark.parametrize(("make", "feed", "slices"), [(gemma3, "medgemma", 85), (qwen3_vl, "frames", 3)])
def test_answers_depend_on_the_pictures(make, feed, slices):
    model, processor = make()
    answerer = ImageTextModel(model, processor, name="tiny", feed=feed, slices=slices, max_new_tokens=3)
    seen = []
    hook = model.get_input_embeddings().register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    assert isinstance(answerer.answer(_scan(40), "Size? A. 1 B. 2"), str)
    with_pictures = max(shape[-1] for shape in seen)
    seen.clear()
    assert isinstance(answerer.answer(None, "Size? A. 1 B. 2"), str)
    hook.remove()
    assert with_pictures > max(shape[-1] for shape in seen) + 5  # the pictures' tokens are in the prompt
    assert answerer.settings["feed"] == feed


def test_decoding_is_greedy_and_the_same_twice():
    model, processor = qwen3_vl()
    answerer = ImageTextModel(model, processor, name="tiny", slices=2, max_new_tokens=4)
    torch.manual_seed(1)
    first = answerer.answer(_scan(40), "Size?")
    torch.manual_seed(2)
    assert answerer.answer(_scan(40), "Size?") == first


def test_a_saved_model_of_medgemmas_architecture_goes_through_the_command(tmp_path, capsys):
    model, processor = gemma3()
    folder = tmp_path / "medgemma-tiny"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    for i in range(2):
        array = np.random.default_rng(i).normal(40, 200, (6, 24, 24)).astype(np.int16)
        write_volume(Volume(array, make_affine((5, 5, 5)), "CT", "HU"), tmp_path / f"s{i}.nii.gz")
    questions = [{"qid": i, "image_id": f"s{i}", "mc_question": "Size? A. 1 B. 2", "correct_option": "A", "answer": "1"} for i in range(2)]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, questions)))
    arguments = ["--questions", tmp_path / "q.jsonl", "--scans", tmp_path, "--predictions", tmp_path / "p.jsonl", "--run", f"hf:{folder}"]
    assert main(["evaluate", "vqa", *map(str, arguments), "--max-new-tokens", "2", "--resamples", "20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["provenance"]["decoding"]["feed"] == "medgemma"
    assert document["provenance"]["decoding"]["slices"] == 85
    assert {"baseline_blind/score", "baseline_swapped/score"} <= {r["metric"] for r in document["rows"]}
