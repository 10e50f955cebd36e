"""Packed rows compute what each conversation computes alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vol3d.errors import ShapeError
from vol3d.vlm.attention import plan, register
from vol3d.vlm.language import load_language_model
from vol3d.vlm.packing import IGNORE, NO_PARENT, PADDING, Group, PackedBatch, block_mask, context, pack, target

TWO_GROUPS = [
    Group(context([10, 11, 12]), (context([20]) + target([21]), context([30]) + target([31, 32]))),
    Group(context([40, 41]) + target([42])),
]


def test_a_row_written_out() -> None:
    batch = pack(TWO_GROUPS)
    assert batch.ids.tolist() == [[10, 11, 12, 20, 21, 30, 31, 32, 40, 41, 42]]
    assert batch.segment_ids.tolist() == [[0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3]]
    assert batch.parent_ids.tolist() == [[NO_PARENT] * 3 + [0] * 5 + [NO_PARENT] * 3]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 3, 4, 5, 0, 1, 2]]
    assert batch.labels.tolist() == [[IGNORE] * 4 + [21, IGNORE, 31, 32, IGNORE, IGNORE, 42]]
    assert batch.predictors.tolist() == [[-1, 0, 1, 2, 3, 2, 5, 6, -1, 8, 9]]


def test_rows_are_padded_and_padding_belongs_to_nobody() -> None:
    batch = pack(TWO_GROUPS, row_length=8)
    assert batch.ids.tolist() == [[10, 11, 12, 20, 21, 30, 31, 32], [40, 41, 42, 0, 0, 0, 0, 0]]
    assert batch.segment_ids[1].tolist() == [0, 0, 0] + [PADDING] * 5
    assert batch.num_tokens == 11
    mask = block_mask(batch.segment_ids, batch.parent_ids, batch.segment_ids)
    assert not mask[1, 0, :3, 3:].any()
    assert not mask[1, 0, 3:, :3].any()


def test_who_sees_whom_written_out() -> None:
    batch = pack([Group(context([1, 2]), (context([3]), context([4, 5])))])
    seen = block_mask(batch.segment_ids, batch.parent_ids, batch.segment_ids)[0, 0].int().tolist()
    assert seen == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]]


def test_new_queries_see_what_lies_before_them() -> None:
    """The last queries of a longer row, as in decoding with a cache."""
    batch = pack(TWO_GROUPS)
    whole = block_mask(batch.segment_ids, batch.parent_ids, batch.segment_ids)
    assert torch.equal(block_mask(batch.segment_ids[:, 6:], batch.parent_ids[:, 6:], batch.segment_ids), whole[:, :, 6:])


def _spans(lengths: list[int]) -> list:
    return [context(torch.arange(n) + 1) for n in lengths]


@given(st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(1, 5), max_size=4)), min_size=1, max_size=6))
def test_every_group_is_packed_once_and_fits(shapes: list[tuple[int, list[int]]]) -> None:
    groups = [Group(_spans([p])[0], tuple(_spans(b)), visuals=(i,)) for i, (p, b) in enumerate(shapes)]
    row_length = max(map(len, groups)) + 3
    batch = pack(groups, row_length=row_length)
    assert batch.ids.shape[1] <= row_length
    assert batch.num_tokens == sum(map(len, groups))
    assert sorted(batch.visuals) == list(range(len(groups)))


def test_rows_are_even() -> None:
    """Four groups of 33 in rows of at most 100: two and two, not three and one."""
    assert pack([Group(_spans([33])[0])] * 4, row_length=100).ids.shape == (2, 66)
    # Evening out 6, 4, 4, 3, 3 would overfill a row of 10; first fit does not.
    assert pack([Group(span) for span in _spans([6, 4, 4, 3, 3])], row_length=10).ids.shape == (2, 10)


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        pack(TWO_GROUPS, row_length=7)
    with pytest.raises(ShapeError, match="nothing to pack"):
        pack([])
    with pytest.raises(ShapeError, match="empty"):
        Group(context([]))


def _ragged(vocabulary: int) -> list[Group]:
    generator = torch.Generator().manual_seed(0)

    def ids(n: int) -> Tensor:
        return torch.randint(3, vocabulary, (n,), generator=generator)

    shapes = [(23, (5, 1, 9)), (4, (2,)), (11, ()), (17, (3, 3, 3, 30, 40, 12)), (1, (1, 1))]
    return [Group(context(ids(p)), tuple(context(ids(n)) for n in branches)) for p, branches in shapes]


def _hidden(model: Any, batch: PackedBatch, backend: str) -> Tensor:
    model.config._attn_implementation = register(backend, dtype=torch.float32)
    packed = plan(batch.segment_ids, batch.parent_ids, backend=backend)
    inputs = {"position_ids": batch.positions, "attention_mask": packed.mask, "packed_plan": packed}
    return model(input_ids=batch.ids, use_cache=False, **inputs).logits


def _worst(model: Any, groups: list[Group], backend: str, row_length: int | None) -> float:
    """Largest difference of logits to each conversation alone, over the largest logit."""
    batch = pack(groups, row_length=row_length)
    with torch.no_grad():
        logits = _hidden(model, batch, backend)
        worst, largest = 0.0, 0.0
        for group in groups:
            for branch in group.branches or (None,):
                ids = group.prefix.ids if branch is None else torch.cat([group.prefix.ids, branch.ids])
                alone = model(input_ids=ids[None], use_cache=False).logits[0]
                tail = alone if branch is None else alone[len(group.prefix) :]
                wanted = group.prefix if branch is None else branch
                row, start = _find(batch, wanted.ids)
                worst = max(worst, float((logits[row, start : start + len(wanted)] - tail).abs().max()))
                largest = max(largest, float(alone.abs().max()))
    return worst / largest


def _find(batch: PackedBatch, ids: Tensor) -> tuple[int, int]:
    """Where a whole segment with these ids stands."""
    for row in range(batch.ids.shape[0]):
        for segment in batch.segment_ids[row].unique():
            places = (batch.segment_ids[row] == segment).nonzero()[:, 0]
            if torch.equal(batch.ids[row, places], ids):
                return row, int(places[0])
    raise AssertionError("not packed")


@pytest.mark.parametrize("backend", ["sdpa", "span_loop"])
@pytest.mark.parametrize("row_length", [None, 120])
def test_packed_equals_separate_on_a_tiny_llama(tiny_folder: Path, backend: str, row_length: int | None) -> None:
    model, _ = load_language_model(str(tiny_folder))
    groups = _ragged(60)
    assert _worst(model, groups, backend, row_length) < 1e-5
    assert _worst(model.double(), groups, backend, row_length) < 1e-13


@pytest.mark.parametrize("backend", ["sdpa", "span_loop"])
def test_packed_equals_separate_on_the_real_model(smollm2: tuple[Any, Any], backend: str) -> None:
    assert _worst(smollm2[0], _ragged(40_000), backend, 130) < 1e-5


def test_a_leak_would_be_seen(tiny_folder: Path) -> None:
    """With plain causal attention the same comparison fails by far, so the bound above means something."""
    model, _ = load_language_model(str(tiny_folder))
    batch = pack(_ragged(60))
    with torch.no_grad():
        right = _hidden(model, batch, "sdpa")
        leaky = model(input_ids=batch.ids, position_ids=batch.positions, attention_mask=torch.ones_like(batch.ids), use_cache=False).logits
    assert float((right - leaky).abs().max()) > 0.1
