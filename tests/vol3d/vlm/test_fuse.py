"""Visual tokens stand where their placeholders stood; expected lists are written out."""

import pytest
import torch

from tests.vol3d.vlm.tiny import LETTERS
from vol3d.errors import ShapeError
from vol3d.vlm.fuse import Visual, add_placeholders, expand, fuse_one, place

V, S = 50, 51
PLACES = {"volume": V, "slice": S}


def _embeds(ids: list[int]) -> torch.Tensor:
    return torch.tensor([[float(i), -float(i)] for i in ids])


def test_volume_and_slices_in_place() -> None:
    ids = [9, V, 8, S, S, 7]
    visuals = [("volume", _embeds([101, 102, 103])), ("slice", _embeds([201])), ("slice", _embeds([301, 302]))]
    new_ids, embeds = fuse_one(torch.tensor(ids), _embeds(ids), visuals, PLACES)
    assert new_ids.tolist() == [9, V, V, V, 8, S, S, S, 7]
    assert embeds[:, 0].tolist() == [9, 101, 102, 103, 8, 201, 301, 302, 7]
    assert embeds[:, 1].tolist() == [-9, -101, -102, -103, -8, -201, -301, -302, -7]


def test_text_alone_is_unchanged() -> None:
    ids, embeds = fuse_one(torch.tensor([3, 4]), _embeds([3, 4]), [], PLACES)
    assert ids.tolist() == [3, 4]
    assert embeds.tolist() == [[3.0, -3.0], [4.0, -4.0]]


@pytest.mark.parametrize(
    ("ids", "kinds"), [([V], []), ([1], ["volume"]), ([V, V], ["volume"]), ([V, S], ["slice", "volume"]), ([V], ["volume", "volume"])]
)
def test_placeholders_and_visuals_must_match(ids: list[int], kinds: list[str]) -> None:
    with pytest.raises(ShapeError, match="do not match"):
        fuse_one(torch.tensor(ids), _embeds(ids), [(kind, _embeds([1])) for kind in kinds], PLACES)


def test_packed_rows_are_filled_in_reading_order() -> None:
    ids = torch.tensor([[1, V, V], [S, 2, 3]])
    out = place(ids, torch.zeros(2, 3, 1), torch.tensor([[10.0], [11.0], [12.0]]), PLACES)
    assert out[..., 0].tolist() == [[0, 10, 11], [12, 0, 0]]
    with pytest.raises(ShapeError, match="expected 3 tokens, found 2"):
        place(ids, torch.zeros(2, 3, 1), torch.zeros(2, 1), PLACES)
    with pytest.raises(ShapeError, match="expected 3 tokens, found 0"):
        place(ids, torch.zeros(2, 3, 1), None, PLACES)


def test_gradients_reach_visual_tokens_only_through_their_places() -> None:
    tokens = torch.ones(2, 1, requires_grad=True)
    out = place(torch.tensor([V, 5, V]), torch.zeros(3, 1), tokens, PLACES)
    (out * torch.tensor([[2.0], [3.0], [4.0]])).sum().backward()
    assert tokens.grad.tolist() == [[2.0], [4.0]]


def test_placeholders_are_tokens_of_their_own(tiny_model: object) -> None:
    tokenizer = tiny_model.text_tokenizer
    ids = tokenizer("a<volume><slice>b", add_special_tokens=False)["input_ids"]
    assert ids == [3, tiny_model.placeholders["volume"], tiny_model.placeholders["slice"], 4]
    assert min(tiny_model.placeholders.values()) >= 3 + len(LETTERS)
    assert add_placeholders(tokenizer) == tiny_model.placeholders  # again: nothing is added twice


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ShapeError, match="unknown kind"):
        Visual("film", torch.ones(1, 1, 1, 1), torch.eye(4))
    with pytest.raises(ShapeError):
        expand(torch.tensor([V]), ["slice"], [1], PLACES)
