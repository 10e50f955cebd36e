"""The model trains on what it answers from, saves what was trained, and answers many questions as it would answer each alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

from tests.vol3d.vlm.tiny import tiny_config, visual, write_tiny_language
from tokenizers3d import Tokenizer
from tokenizers3d.config import TokenizerConfig
from vol3d.errors import CheckpointError, ConfigError, ShapeError
from vol3d.vlm.config import LoraSpec, ProjectorSpec, VisionLanguageConfig, build_projector
from vol3d.vlm.decoding import merge_adapters
from vol3d.vlm.model import VisionLanguageModel, load_model
from vol3d.vlm.packing import pack
from vol3d.vlm.saving import load, save, trained_state

PREFIX = "scan <volume> cut <slice>\n"
VISUALS = (visual("volume"), visual("slice", seed=1, grid=(1, 2, 3)))
QUESTIONS = ["is it big?", "how many?", "left or right? the one that is seen on the slice"]


def _group(model: VisionLanguageModel) -> Any:
    return model.group(PREFIX, VISUALS, [("is it big?", "yes<|im_end|>"), ("how many?", "3 of them<|im_end|>")], weights=[1.0, 2.0])


def test_a_group_written_out(tiny_model: VisionLanguageModel) -> None:
    """The volume of 2 x 4 x 4 tokens is pooled to 4, the slice keeps its 6; only the answer is trained."""
    group = _group(tiny_model)
    volume, cut = tiny_model.placeholders["volume"], tiny_model.placeholders["slice"]
    ids = group.prefix.ids.tolist()
    assert ids.count(volume) == 4
    assert ids.count(cut) == 6
    assert tiny_model.text_tokenizer.decode(ids[:5]) == "scan "
    first = group.branches[0]
    assert (first.labels >= 0).tolist() == [False] * 10 + [True] * 4
    assert first.ids[-1] == tiny_model.end_id
    assert group.branches[1].weights.max() == 2.0


def test_loss_equals_each_question_alone(tiny_model: VisionLanguageModel) -> None:
    """By hand: embed, run the plain model on prefix + question + answer, and take the weighted mean over the answers."""
    group = _group(tiny_model)
    got = tiny_model(pack([group]))
    losses, weights = [], []
    for branch in group.branches:
        ids = torch.cat([group.prefix.ids, branch.ids])
        embeds = tiny_model.embed(ids, VISUALS)
        logits = tiny_model.language(inputs_embeds=embeds[None]).logits[0]
        n = int((branch.labels >= 0).sum())
        losses.append(cross_entropy(logits[-n - 1 : -1], ids[-n:], reduction="none"))
        weights.append(branch.weights[-n:])
    flat, scale = torch.cat(losses), torch.cat(weights)
    torch.testing.assert_close(got.token_losses, flat, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got.loss, (flat * scale).sum() / scale.sum(), rtol=1e-5, atol=1e-5)


def test_packing_does_not_change_the_loss(tiny_model: VisionLanguageModel) -> None:
    blind = tiny_model.group("scan\n", (), [("how many?", "2<|im_end|>")])
    together = tiny_model(pack([_group(tiny_model), blind], row_length=80)).token_losses
    apart = [tiny_model(pack([g])).token_losses for g in (_group(tiny_model), blind)]
    torch.testing.assert_close(together.sort().values, torch.cat(apart).sort().values, rtol=1e-5, atol=1e-5)


def test_only_adapters_and_projectors_learn(tiny_model: VisionLanguageModel) -> None:
    tiny_model(pack([_group(tiny_model)])).loss.backward()
    trained = {n for n, p in tiny_model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert trained == {n for n, p in tiny_model.named_parameters() if p.requires_grad}
    assert all("lora_" in n or n.startswith(("projectors.", "loudness.")) for n in trained)
    assert any("gate_proj" in n for n in trained)


def test_a_few_steps_learn_to_read_the_volume(tiny_folder: Path) -> None:
    """Two volumes, two answers: only what is seen tells them apart."""
    torch.manual_seed(0)
    model = VisionLanguageModel.from_config(tiny_config(tiny_folder))
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    pairs = [(visual(seed=3), "yes"), (visual(seed=4), "no")]
    batch = pack([model.group("scan <volume>\n", [v], [("big?", f"{answer}<|im_end|>")]) for v, answer in pairs])
    for _ in range(60):
        optimiser.zero_grad()
        model(batch).loss.backward()
        optimiser.step()
    assert [model.generate("scan <volume>\n", [v], "big?", max_new_tokens=5).text for v, _ in pairs] == ["yes", "no"]


def test_many_answers_equal_one_at_a_time_and_plain_generation(tiny_model: VisionLanguageModel) -> None:
    prefix = tiny_model.encode_prefix(PREFIX, VISUALS)
    together = tiny_model.answer_many(prefix, QUESTIONS, max_new_tokens=12)
    for question, reply in zip(QUESTIONS, together, strict=True):
        (alone,) = tiny_model.answer_many(prefix, [question], max_new_tokens=12)
        assert alone.text == reply.text
        assert alone.log_probability == pytest.approx(reply.log_probability, abs=1e-4)
        ids = torch.cat([tiny_model.prefix_ids(PREFIX, VISUALS), tiny_model.ids(question)])
        plain = tiny_model.language.generate(
            inputs_embeds=tiny_model.embed(ids, VISUALS)[None],
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=12,
            do_sample=False,
        )[0]
        said = plain[plain != tiny_model.end_id]
        assert tiny_model.text_tokenizer.decode(said).strip() == reply.text


def test_questions_in_several_chunks_come_back_in_order(tiny_model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = tiny_model.encode_prefix(PREFIX, VISUALS)
    whole = tiny_model.answer_many(prefix, QUESTIONS * 2, max_new_tokens=4)
    monkeypatch.setattr("vol3d.vlm.decoding._TOKENS_AT_ONCE", 15)
    assert [r.text for r in tiny_model.answer_many(prefix, QUESTIONS * 2, max_new_tokens=4)] == [r.text for r in whole]
    assert tiny_model.answer_many(prefix, []) == []


def test_choices_are_scored_by_their_own_tokens(tiny_model: VisionLanguageModel) -> None:
    """By hand: mean log-probability of each choice and the end token after prefix and question."""
    options = [["yes", "no", "not at all"], ["1", "10"], ["left", "right"]]
    prefix = tiny_model.encode_prefix(PREFIX, VISUALS)
    replies = tiny_model.answer_many(prefix, QUESTIONS, choices=options)
    for question, choices, reply in zip(QUESTIONS, options, replies, strict=True):
        wanted = []
        for choice in choices:
            tail = torch.cat([tiny_model.ids(choice), torch.tensor([tiny_model.end_id])])
            ids = torch.cat([tiny_model.prefix_ids(PREFIX, VISUALS), tiny_model.ids(question), tail])
            logits = tiny_model.language(inputs_embeds=tiny_model.embed(ids, VISUALS)[None]).logits[0].detach()
            wanted.append(float(-cross_entropy(logits[-len(tail) - 1 : -1], tail)))
        assert reply.choice_scores == pytest.approx(wanted, abs=1e-4)
        assert reply.text == choices[reply.choice] == choices[int(torch.tensor(wanted).argmax())]
        assert reply.confidence == pytest.approx(float(torch.tensor(wanted).softmax(0).max()), abs=1e-4)


def test_what_is_asked_in_a_wrong_way_is_refused(tiny_model: VisionLanguageModel) -> None:
    prefix = tiny_model.encode_prefix("scan\n")
    with pytest.raises(ShapeError, match="a question is empty"):
        tiny_model.answer_many(prefix, ["how?", ""])
    with pytest.raises(ShapeError, match="choices do not match"):
        tiny_model.answer_many(prefix, ["how?"], choices=[[]])
    with pytest.raises(ShapeError, match="do not match"):
        tiny_model.encode_prefix("scan <volume>\n", ())
    with pytest.raises(ShapeError, match="no token of the batch is trained"):
        tiny_model(pack([tiny_model.group("scan\n", (), [])]))


def test_confidence_is_the_probability_of_the_text(tiny_model: VisionLanguageModel) -> None:
    reply = tiny_model.generate(PREFIX, VISUALS, "how many?", max_new_tokens=6)
    assert 0 < reply.confidence <= 1
    assert reply.confidence == pytest.approx(float(torch.tensor(reply.log_probability).exp()))


def test_the_image_reaches_the_answer(tiny_model: VisionLanguageModel) -> None:
    scores = [tiny_model.generate("scan <volume>\n", [visual(seed=s)], "big?", choices=["yes", "no"]).choice_scores for s in (5, 6)]
    assert abs(scores[0][0] - scores[1][0]) > 1e-4


def test_merging_keeps_the_answers_and_forbids_saving(tiny_model: VisionLanguageModel, tmp_path: Path) -> None:
    before = tiny_model.generate(PREFIX, VISUALS, "big?", choices=["yes", "no"]).choice_scores
    merge_adapters(tiny_model)
    assert tiny_model.generate(PREFIX, VISUALS, "big?", choices=["yes", "no"]).choice_scores == pytest.approx(before, abs=1e-4)
    with pytest.raises(CheckpointError, match="merged"):
        save(tiny_model, tmp_path / "m.safetensors")


def test_saved_and_loaded_is_the_same_model(tiny_model: VisionLanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "vlm.safetensors"
    save(tiny_model, path, provenance={"recipe": "tiny"})
    again = load(path)
    assert trained_state(again).keys() == trained_state(tiny_model).keys()
    assert all(torch.equal(t, trained_state(again)[n]) for n, t in trained_state(tiny_model).items())
    assert again.generate(PREFIX, VISUALS, "big?", choices=["a", "b"]) == tiny_model.generate(PREFIX, VISUALS, "big?", choices=["a", "b"])
    assert again.provenance["recipe"] == "tiny"
    assert again.provenance["base"].startswith("safetensors-sha256:")
    assert not any("embed_tokens" in name for name in load_file(path))


def test_another_base_model_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    language = write_tiny_language(tmp_path / "language")
    model = VisionLanguageModel.from_config(tiny_config(language))
    save(model, tmp_path / "vlm.safetensors")
    write_tiny_language(language, seed=9)
    with pytest.raises(CheckpointError, match="base language model is another one"):
        load(tmp_path / "vlm.safetensors")


def test_damage_and_foreign_files_are_refused(tiny_model: VisionLanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "vlm.safetensors"
    save(tiny_model, path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not those that were saved"):
        load(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="not a vision-language model"):
        load(path)
    with pytest.raises(CheckpointError, match="no such weights"):
        load(tmp_path / "none.safetensors")


def test_a_model_gets_only_its_own_tokenizer(tiny_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizers = [Tokenizer(TokenizerConfig(name="tiny", filters=8, num_res_blocks=1, num_groups=4)) for _ in range(2)]
    config = tiny_config(tiny_folder, visual_tokenizer_id=tokenizers[0].tokenizer_id)
    save(VisionLanguageModel.from_config(config), tmp_path / "vlm.safetensors")
    tokenizers[1].save(tmp_path / "tokenizer.safetensors")
    with pytest.raises(CheckpointError, match="another tokenizer"):
        load_model(tmp_path)
    tokenizers[0].save(tmp_path / "tokenizer.safetensors")
    model = load_model(tmp_path)
    assert model.tokenizer3d.tokenizer_id == config.visual_tokenizer_id
    assert model.tokenizer3d_path == tmp_path / "tokenizer.safetensors"
    assert not any(name.startswith("tokenizer3d") for name, _ in model.named_parameters())
    text, confidence = model.say("scan\n", None, "how?", max_new_tokens=3)
    assert isinstance(text, str)
    assert 0 < confidence <= 1
    assert len(model.reply_many("scan\n", None, QUESTIONS)) == 3


def test_a_weights_file_cannot_choose_what_code_runs() -> None:
    with pytest.raises(ConfigError, match="not trusted"):
        build_projector(ProjectorSpec(class_path="os.path.join"), width=4)
    with pytest.raises(ConfigError, match="cannot be made"):
        build_projector(ProjectorSpec(class_path="vol3d.vlm.projectors.NoProjector"), width=4)
    with pytest.raises(ConfigError, match="cannot be made"):
        build_projector(ProjectorSpec(class_path="vol3d.vlm.projectors.MLPProjector", init_args={"depth": 3}), width=4)


def test_configs_refuse_nonsense(tiny_folder: Path) -> None:
    config = tiny_config(tiny_folder)
    assert VisionLanguageConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="unknown visuals"):
        replace(config, projectors={"film": config.projectors["volume"]})
    with pytest.raises(ConfigError, match="not a vision-language model's config"):
        VisionLanguageConfig.from_dict({**config.to_dict(), "depth": 3})


def test_without_adapters_only_projectors_learn(tiny_folder: Path) -> None:
    model = VisionLanguageModel.from_config(tiny_config(tiny_folder, lora=LoraSpec(rank=0)))
    assert all(n.startswith(("projectors.", "loudness.")) for n, p in model.named_parameters() if p.requires_grad)


def test_kinds_without_a_projector_are_refused(tiny_model: VisionLanguageModel) -> None:
    with pytest.raises(ShapeError, match="no projector for this visual"):
        tiny_model.encode_prefix("<overlay>", [visual("overlay")])
