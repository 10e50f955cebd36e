"""The demo's corpus: what is asked is true of the masks, files are a function of the seed, and the recipe runs."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from data_prep.conversations import FAMILIES, SCORED
from data_prep.phantom_conversations import PhantomConversations, converse, corpus_phantom
from tokenizers3d import Tokenizer
from vol3d.contracts import Status
from vol3d.errors import CheckpointError, ResourceError
from vol3d.training.recipe import read_recipe
from vol3d.training.run import train

TOKENIZER = Path(str(files("vol3d") / "assets" / "tokenizer_small_8x8x8.safetensors"))


@pytest.fixture(scope="module")
def scans():
    return [(phantom := corpus_phantom(seed), converse(phantom, seed)[0]) for seed in range(6)]


def test_every_answer_is_true_of_the_masks(scans) -> None:
    asked = set()
    for phantom, conversation in scans:
        for turn in conversation.turns:
            asked.add(turn.family)
            statuses = [phantom.labels.status(s) for s in turn.structures]
            voxels = sum(int(phantom.labels.mask(s).sum()) for s in turn.structures)
            if turn.family == "presence":
                assert (turn.answer == "yes") == (statuses == [Status.FOUND])
            elif turn.family == "volume":
                assert turn.value == pytest.approx(voxels * phantom.volume.voxel_ml, abs=0.051)
            elif turn.family == "abstention":
                assert turn.answer == "not covered"
                assert voxels == 0
            elif turn.family == "side":
                x = np.argwhere(phantom.labels.mask(turn.structures[0])).mean(axis=0)
                other = np.argwhere(phantom.labels.mask("body")).mean(axis=0)
                assert (turn.answer == "left") == ((phantom.labels.affine @ [*x, 1])[0] < (phantom.labels.affine @ [*other, 1])[0])
            elif turn.family == "modality":
                assert turn.answer == phantom.volume.modality
    assert {"modality", "region", "presence", "volume", "abstention", "findings"} <= asked
    assert len(FAMILIES) >= len(SCORED)


def test_every_question_that_needs_evidence_has_its_line(scans) -> None:
    for _, conversation in scans:
        for turn in conversation.turns:
            assert set(turn.structures) <= set(conversation.lines), turn


def test_a_seed_gives_the_same_conversation(scans) -> None:
    assert converse(corpus_phantom(0), 0)[0] == scans[0][1]


def test_files_are_made_once_and_refuse_another_tokenizer(tmp_path) -> None:
    corpus = PhantomConversations(tmp_path, 1, 5, TOKENIZER)
    _, visuals = corpus[0]
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    _, again = corpus[0]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert all((a.vectors == b.vectors).all() for a, b in zip(visuals.in_order, again.in_order, strict=True))
    other = tmp_path / "other.safetensors"
    Tokenizer.from_config("small_8x8x8").save(other)
    with pytest.raises(CheckpointError, match="another tokenizer"):
        PhantomConversations(tmp_path, 1, 5, other)[0]


def test_the_recipe_trains_five_steps(tmp_path) -> None:
    shipped = Path(str(files("configs") / "demo" / "vlm.yaml")).read_text()
    small = shipped.replace("num_scans: 855", "num_scans: 2").replace("runs/demo/corpus", str(tmp_path / "corpus"))
    small = small.replace("vol3d/assets/tokenizer_small_8x8x8.safetensors", str(TOKENIZER)).replace("num_turns: 8", "num_turns: 2")
    recipe = tmp_path / "small.yaml"
    recipe.write_text(small.replace("batch_size: 4", "batch_size: 1").replace("log_every: 5", "log_every: 1"))
    assert small.count(str(tmp_path)) == 1, "the recipe no longer says what this test replaces"
    losses = []
    try:
        train(read_recipe(str(recipe), steps=5), out=tmp_path / "out", on_step=lambda record: losses.append(record.terms["loss"]))
    except ResourceError as error:
        pytest.skip(f"no base language model here: {error}")
    assert len(losses) == 5
    assert np.isfinite(losses).all()
    assert (tmp_path / "out" / "vlm.safetensors").stat().st_size > 1e6
