"""One function per attention backend: segment tensors in, a callable `(query, key, value, scale) -> output` out.

Layouts are transformers': query `b h n d`, key and value `b hk n d` (fewer heads), output `b n h d`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vol3d.extras import require
from vol3d.vlm.attention_spans import SpanPlan, plan_pieces, plan_spans

Attend = Callable[[Tensor, Tensor, Tensor, float | None], Tensor]


def span_loop(segment_ids: Int[Tensor, "rows n"], parent_ids: Int[Tensor, "rows n"]) -> Attend:
    """SDPA once for each prefix and each handful of branches: exact, differentiable, and the fastest on a CPU."""
    pieces, length = plan_pieces(plan_spans(segment_ids, parent_ids).runs), segment_ids.shape[1]
    lengths = [piece.length for piece in pieces]
    masks = [None if p.prefix is None else _family_mask(lengths[p.prefix], p.branches, segment_ids.device) for p in pieces]

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        # All rows side by side; `split` and not slices, whose backward would fill a whole row with zeros for each piece.
        key, value = (repeat(x, "b hk n d -> 1 (hk g) (b n) d", g=query.shape[1] // x.shape[1]) for x in (key, value))
        queries, keys, values = (x.split(lengths, dim=2) for x in (rearrange(query, "b h n d -> 1 h (b n) d"), key, value))
        outputs = []
        for i, (piece, mask) in enumerate(zip(pieces, masks, strict=True)):
            if piece.prefix is None:
                outputs.append(scaled_dot_product_attention(queries[i], keys[i], values[i], is_causal=True, scale=scale))
                continue
            seen_keys, seen_values = (torch.cat([x[piece.prefix], x[i]], dim=2) for x in (keys, values))
            outputs.append(scaled_dot_product_attention(queries[i], seen_keys, seen_values, attn_mask=mask, scale=scale))
        return rearrange(torch.cat(outputs, dim=2), "1 h (b n) d -> b n h d", n=length)

    return attend


def _family_mask(prefix: int, branches: tuple[int, ...], device: torch.device) -> Bool[Tensor, "q k"]:
    """Branches see all of the prefix and themselves causally, not each other."""
    own = torch.block_diag(*(torch.ones(n, n, dtype=torch.bool) for n in branches)).bool().tril()
    return torch.cat([torch.ones(len(own), prefix, dtype=torch.bool), own], dim=1).to(device)


def flex(segment_ids: Int[Tensor, "rows n"], parent_ids: Int[Tensor, "rows n"]) -> Attend:
    """The flex_attention of torch under a BlockMask (CUDA; on a CPU it has no backward)."""
    from torch.nn.attention.flex_attention import create_block_mask

    rows, length = segment_ids.shape
    blocks = create_block_mask(
        # A lambda, because torch counts its arguments, which a type-checking wrapper would hide.
        lambda row, head, query, key: (
            ((segment_ids[row, query] == segment_ids[row, key]) | (parent_ids[row, query] == segment_ids[row, key])) & (query >= key)
        ),
        rows,
        None,
        length,
        length,
        device=str(segment_ids.device),
    )

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        out = _flex_for(query.device.type)(query, key, value, block_mask=blocks, scale=scale, enable_gqa=True)
        return rearrange(out, "b h n d -> b n h d")

    return attend


@cache
def _flex_for(device_type: str) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    # Uncompiled it is a reference implementation, slow and right: what a CPU without a C++ compiler can check.
    return torch.compile(flex_attention, dynamic=True) if device_type == "cuda" else flex_attention


def _ragged(kernel: Callable[[Tensor, Tensor, Tensor, SpanPlan, float | None], Tensor]) -> Callable[..., Attend]:
    """A backend from a kernel over concatenated runs: `q h d` queries against gathered `k hk d` keys and values."""

    def planned(segment_ids: Int[Tensor, "rows n"], parent_ids: Int[Tensor, "rows n"]) -> Attend:
        plan, rows = plan_spans(segment_ids, parent_ids), segment_ids.shape[0]

        def attend(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
            query, key, value = (rearrange(x, "b h n d -> (b n) h d") for x in (query, key, value))
            out = kernel(query, key[plan.key_index], value[plan.key_index], plan, scale)
            return rearrange(out, "(b n) h d -> b n h d", b=rows)

        return attend

    return planned


@_ragged
def varlen(query: Tensor, key: Tensor, value: Tensor, plan: SpanPlan, scale: float | None) -> Tensor:
    """torch.nn.attention.varlen (CUDA, half precision); the window (-1, 0) is its causal mask, aligned at the bottom right."""
    from torch.nn.attention.varlen import varlen_attn

    lengths = (plan.cu_seqlens_q, plan.cu_seqlens_k, plan.max_q, plan.max_k)
    out = varlen_attn(query, key, value, *lengths, scale=scale, window_size=(-1, 0), enable_gqa=True)
    return out[0] if isinstance(out, tuple) else out


@_ragged
def flash_attention_2(query: Tensor, key: Tensor, value: Tensor, plan: SpanPlan, scale: float | None) -> Tensor:
    """flash-attn's varlen kernel (CUDA, half precision); causal is bottom-right aligned since its version 2.1."""
    kernel = require("flash_attn", extra="flash").flash_attn_varlen_func
    lengths = (plan.cu_seqlens_q, plan.cu_seqlens_k, plan.max_q, plan.max_k)
    return kernel(query, key, value, *lengths, softmax_scale=scale, causal=True)


@_ragged
def xformers(query: Tensor, key: Tensor, value: Tensor, plan: SpanPlan, scale: float | None) -> Tensor:
    """The block-diagonal causal bias of xFormers, aligned at the bottom right (CUDA)."""
    ops = require("xformers.ops", extra="flash")
    bias_class = require("xformers.ops.fmha.attn_bias", extra="flash").BlockDiagonalCausalFromBottomRightMask
    bias = bias_class.from_seqlens([r.num_queries for r in plan.runs], [r.num_keys for r in plan.runs])
    groups = query.shape[1] // key.shape[1]
    key, value = (repeat(x, "k hk d -> 1 k (hk g) d", g=groups) for x in (key, value))
    return ops.memory_efficient_attention(rearrange(query, "q h d -> 1 q h d"), key, value, attn_bias=bias, scale=scale)[0]


@_ragged
def ragged_reference(query: Tensor, key: Tensor, value: Tensor, plan: SpanPlan, scale: float | None) -> Tensor:
    """What the varlen kernels promise, spelled out on any device: the check of their plan where they cannot run."""
    outputs = []
    starts_q, starts_k = plan.cu_seqlens_q.tolist(), plan.cu_seqlens_k.tolist()
    for q0, q1, k0, k1 in zip(starts_q, starts_q[1:], starts_k, starts_k[1:], strict=False):
        q, k, v = (rearrange(x, "n h d -> 1 h n d") for x in (query[q0:q1], key[k0:k1], value[k0:k1]))
        mask = torch.ones(q1 - q0, k1 - k0, dtype=torch.bool, device=q.device).tril((k1 - k0) - (q1 - q0))
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=True)
        outputs.append(rearrange(out, "1 h n d -> n h d"))
    return torch.cat(outputs)
