"""Volume models end to end: random networks with the call and the input of M3D-LaMed and Merlin, and a class of one's own."""

import json

import numpy as np
import pytest
import torch
from monai.transforms import CenterSpatialCrop, ScaleIntensityRange, SpatialPad
from torch import nn

from vol3d.cli.main import main
from vol3d.errors import ConfigError, MissingExtraError
from vol3d.evaluation.models.inputs import m3d_volume, merlin_volume
from vol3d.evaluation.models.specs import answerer_from
from vol3d.evaluation.models.volume_input import M3D_TOKENS, M3DLaMed, MerlinText, VolumeAnswerer
from vol3d.volume.geometry import make_affine
from vol3d.volume.resample import resample
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

from .tiny import _tokenizer


def _scan(value=40, shape=(10, 20, 20)):
    array = np.full(shape, -1000, np.int16)
    array[2:8, 4:16, 4:16] = value
    return Volume(array, make_affine((5, 2, 2)), "CT", "HU")


class TinyLaMed(nn.Module):
    """As M3D-LaMed: patches of 4 x 16 x 16, pooled by two to 256 tokens, which replace the places after the first token."""

    def __init__(self, vocabulary):
        from transformers import LlamaConfig, LlamaForCausalLM

        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv3d(1, 16, (4, 16, 16), (4, 16, 16))
        self.language = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=2048, eos_token_id=0, pad_token_id=0)).eval()  # fmt: skip

    def generate(self, images, inputs, **settings):
        assert images.shape == (1, 1, 32, 256, 256)
        tokens = nn.functional.avg_pool3d(self.patches(images), 2).flatten(2).transpose(1, 2)
        assert tokens.shape[1] == M3D_TOKENS
        words = self.language.get_input_embeddings()(inputs)
        return self.language.generate(inputs_embeds=torch.cat([words[:, :1], tokens, words[:, M3D_TOKENS + 1 :]], 1), **settings)


class TinyMerlin(nn.Module):
    """As Merlin: x y z volumes, turned, three channels, a stride of 32 and 16; text in and text out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv3d(3, 4, (16, 32, 32), (16, 32, 32)), nn.Flatten(2))
        self.seen = []

    def generate(self, image, texts, **settings):
        image = image.permute(0, 1, 4, 2, 3)
        features = self.encoder(torch.cat([image] * 3, dim=1)).transpose(1, 2)
        assert features.shape == (1, 490, 4)
        assert settings["do_sample"] is False
        self.seen.append(texts[0])
        return [f"{'AB'[int(features.mean() > 0)]}###\nleft over"]


class Mine:
    """A class of one's own, with its own preprocessing and an argument."""

    def __init__(self, argument="1"):
        self.factor = float(argument)
        self.settings = {"factor": self.factor}

    def preprocess(self, volume):
        return volume.numpy().astype(np.float32) * self.factor

    def generate(self, inputs, prompt):
        return "A" if inputs is None or inputs.mean() < -500 else "B"


def m3d():
    tokenizer = _tokenizer(("<im_patch>",))
    return M3DLaMed(TinyLaMed(len(tokenizer)).eval(), tokenizer, max_new_tokens=4)


def test_m3d_is_called_as_its_makers_call_it():
    answerer = VolumeAnswerer(m3d(), name="tiny m3d")
    answer = answerer.answer(_scan(), "Size? A. 1 B. 2")
    assert isinstance(answer, str)
    assert answerer.answer(_scan(), "Size? A. 1 B. 2") == answer  # greedy
    assert isinstance(answerer.answer(None, "Size?"), str)
    assert answerer.settings == {"feed": "m3d", "max_new_tokens": 4, "decoding": "greedy"}
    with pytest.raises(ConfigError, match="trust-remote-code"):
        answerer_from("m3d:somebody/model")


def test_merlin_is_called_as_its_makers_call_it():
    network = TinyMerlin()
    answerer = VolumeAnswerer(MerlinText(network), name="tiny merlin")
    assert answerer.answer(_scan(), "Is the liver normal?") in {"A", "B"}
    assert network.seen == ["Is the liver normal?###\n"]
    with pytest.raises(MissingExtraError, match="merlin-vlm"):
        answerer_from("merlin:")


def test_merlins_input_is_monais():
    """Intensity, padding and cropping by the transforms that Merlin's package lists, on the scan resampled by ours."""
    scan = _scan(shape=(60, 190, 150))  # 200 x 253 x 200 voxels at Merlin's spacing: cropped in two axes, padded in one
    ours = resample(scan.canonical(), spacing_mm=(3.0, 1.5, 1.5)).numpy().transpose(2, 1, 0)[None].astype(np.float32)
    steps = (ScaleIntensityRange(-1000, 1000, 0.0, 1.0, clip=True), SpatialPad((224, 224, 160)), CenterSpatialCrop((224, 224, 160)))
    for step in steps:
        ours = step(ours)
    assert np.allclose(np.asarray(ours), merlin_volume(scan), atol=1e-6)


def test_m3d_input_is_the_foreground_in_picture_order():
    array = np.full((8, 20, 20), -1000, np.int16)
    array[2:6, 4:16, 4:16] = 0
    array[2:4, 14:16, 14:16] = 1000  # inferior, anterior, the patient's right
    out = m3d_volume(Volume(array, make_affine((5, 2, 2)), "CT", "HU"))
    assert out.shape == (1, 32, 256, 256)
    assert out.min() >= 0.49  # nothing of the margin is left: 0 HU is the middle of -1000..1000
    assert out[0, 0, 0, 0] == 1.0
    assert out[0, -1, -1, -1] == pytest.approx(0.5)


@pytest.mark.parametrize("spec", [f"{__name__}:Mine", f"{__name__}:Mine#0.1"])
def test_a_class_of_ones_own_under_the_command(spec, tmp_path, capsys):
    for i in range(2):
        write_volume(_scan(40), tmp_path / f"s{i}.nii.gz")
    questions = [{"qid": i, "image_id": f"s{i}", "mc_question": "Size? A. 1 B. 2", "correct_option": "A", "answer": "1"} for i in range(2)]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, questions)))
    arguments = ["--questions", tmp_path / "q.jsonl", "--scans", tmp_path, "--predictions", tmp_path / "p.jsonl", "--run", spec, "--resamples", "20"]
    assert main(["evaluate", "vqa", *map(str, arguments), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {r["metric"]: r["value"] for r in document["rows"]}
    assert rows["score"] == float(spec.endswith("Mine"))
    assert rows["baseline_blind/score"] == 1.0
    assert document["provenance"]["decoding"]["feed"] == "its own preprocess"


def merlin():
    return MerlinText(TinyMerlin())


@pytest.mark.parametrize("maker", ["m3d", "merlin"])
def test_random_networks_of_both_go_through_the_command(maker, tmp_path, capsys):
    write_volume(_scan(40), tmp_path / "s0.nii.gz")
    question = {"qid": 0, "image_id": "s0", "mc_question": "Size? A. 1 B. 2", "correct_option": "A", "answer": "1"}
    (tmp_path / "q.jsonl").write_text(json.dumps(question))
    arguments = ["--questions", tmp_path / "q.jsonl", "--scans", tmp_path, "--predictions", tmp_path / "p.jsonl", "--run", f"{__name__}:{maker}"]
    assert main(["evaluate", "vqa", *map(str, arguments), "--resamples", "20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["provenance"]["decoding"]["feed"] == maker
    assert {"score", "baseline_blind/score"} <= {r["metric"] for r in document["rows"]}
    assert "error" not in (tmp_path / "p.jsonl").read_text()


def test_what_cannot_answer_is_refused():
    for spec in (f"{__name__}:Nobody", "no.such.module:Class", f"{__name__}:json"):
        with pytest.raises(ConfigError):
            answerer_from(spec)
    with pytest.raises(ConfigError, match="no such input"):
        VolumeAnswerer(TinyMerlin(), name="x", feed="x-ray")
    with pytest.raises(ConfigError, match="how this model is fed"):
        VolumeAnswerer(TinyMerlin(), name="x")
