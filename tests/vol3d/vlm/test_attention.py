"""Every backend attends as the dense mask does; what cannot run here is checked by its plan."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vol3d.errors import ConfigError, MissingExtraError, ShapeError
from vol3d.vlm import attention, attention_kernels
from vol3d.vlm.attention import BACKENDS, plan, resolve
from vol3d.vlm.attention_spans import plan_spans
from vol3d.vlm.packing import Group, PackedBatch, context, pack

SHAPES = st.lists(st.tuples(st.integers(1, 40), st.lists(st.integers(1, 50), max_size=4)), min_size=1, max_size=4)


def _batch(shapes: list[tuple[int, list[int]]], row_length: int | None = None) -> PackedBatch:
    groups = [Group(context(torch.ones(p, dtype=torch.long)), tuple(context(torch.ones(n, dtype=torch.long)) for n in b)) for p, b in shapes]
    return pack(groups, row_length=row_length)


def _inputs(batch: PackedBatch, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows, n = batch.ids.shape
    return [torch.randn(rows, heads, n, 8, generator=generator, dtype=dtype).requires_grad_() for heads in (4, 2, 2)]


def _dense(batch: PackedBatch, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return attention._attend(plan(batch.segment_ids, batch.parent_ids, backend="sdpa"), query, key, value, 0.3)


@settings(deadline=None, max_examples=25)
@given(SHAPES, st.booleans())
def test_span_loop_and_ragged_plan_equal_the_dense_mask(shapes: list[tuple[int, list[int]]], is_padded: bool) -> None:
    longest = max(p + sum(b) for p, b in shapes)
    batch = _batch(shapes, longest + 2 if is_padded else None)
    wanted_inputs, real = _inputs(batch), batch.segment_ids >= 0
    wanted = _dense(batch, *wanted_inputs)
    weight = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1), dtype=wanted.dtype) * real[:, :, None, None]
    (wanted * weight).sum().backward()
    for planner in (attention_kernels.span_loop, attention_kernels.ragged_reference):
        inputs = _inputs(batch)
        got = planner(batch.segment_ids, batch.parent_ids)(*inputs, 0.3)
        torch.testing.assert_close(got[real], wanted[real], rtol=0, atol=1e-12)
        (got * weight).sum().backward()
        for mine, theirs in zip(inputs, wanted_inputs, strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=1e-11)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_mask_equals_the_dense_mask() -> None:
    batch = _batch([(20, [7, 5]), (9, [])], 40)
    inputs = [x.detach() for x in _inputs(batch, torch.float32)]
    got = attention_kernels.flex(batch.segment_ids, batch.parent_ids)(*inputs, 0.3)
    torch.testing.assert_close(got, _dense(batch, *inputs), rtol=0, atol=1e-5)


def test_varlen_tensors_written_out() -> None:
    spans = plan_spans(*(_batch([(2, [1, 3]), (2, [])]).segment_ids, _batch([(2, [1, 3]), (2, [])]).parent_ids))
    assert spans.cu_seqlens_q.tolist() == [0, 2, 3, 6, 8]
    assert spans.cu_seqlens_k.tolist() == [0, 2, 5, 10, 12]
    assert spans.key_index.tolist() == [0, 1, 0, 1, 2, 0, 1, 3, 4, 5, 6, 7]
    assert (spans.max_q, spans.max_k, spans.cu_seqlens_q.dtype) == (3, 5, torch.int32)


def test_rows_do_not_meet() -> None:
    """The second row's keys start after the first row, padding included."""
    spans = plan_spans(torch.tensor([[0, 0, -1], [0, 1, 1]]), torch.tensor([[-2, -2, -2], [-2, 0, 0]]))
    assert spans.key_index.tolist() == [0, 1, 2, 3, 3, 4, 5]


def test_torn_segments_and_late_prefixes_are_refused() -> None:
    with pytest.raises(ShapeError, match="torn"):
        plan_spans(torch.tensor([[0, 1, 0]]), torch.tensor([[-2, -2, -2]]))
    with pytest.raises(ShapeError, match="before its prefix"):
        plan_spans(torch.tensor([[1, 0]]), torch.tensor([[0, -2]]))


@pytest.mark.parametrize("name", [name for name, backend in BACKENDS.items() if backend.needs_cuda])
def test_cuda_kernels_are_refused_on_a_cpu_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match="needs a CUDA device"):
        resolve(name, device="cpu")


def test_other_refusals() -> None:
    with pytest.raises(ConfigError, match="auto, sdpa, span_loop"):
        resolve("flash")
    with pytest.raises(ConfigError, match="half precision"):
        resolve("varlen", device="cuda", dtype=torch.float32)
    if not attention.find_spec("flash_attn"):
        with pytest.raises(MissingExtraError, match="flash"):
            resolve("flash_attention_2", device="cuda", dtype=torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_auto_takes_what_runs_and_agrees(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("auto", dtype=dtype) == "span_loop"
    # A kernel that is wrong is passed over, however fast it is.
    wrong = attention.Backend(lambda segments, parents: lambda q, k, v, scale: torch.zeros_like(q).transpose(1, 2) + q.sum() * 0)
    monkeypatch.setattr(attention, "BACKENDS", {**BACKENDS, "span_loop": wrong})
    attention._agrees.cache_clear()
    assert resolve("auto", dtype=dtype) == "sdpa"
    attention._agrees.cache_clear()
