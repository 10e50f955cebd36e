"""What the packed kernels are planned from: runs of queries, and the keys that each run sees.

Kernels for variable lengths know blocks of queries with blocks of keys, causal from the bottom right. A shared prefix is not
such a block, so its keys and values (not its queries) are repeated for every branch: exact, and still far fewer keys than a
dense mask would visit.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from vol3d.errors import ShapeError


@dataclass(frozen=True)
class Run:
    """Queries `start:stop` of the flattened rows; they see all of `prefix_start:prefix_stop` and themselves causally."""

    start: int
    stop: int
    prefix_start: int
    prefix_stop: int

    @property
    def num_queries(self) -> int:
        """Queries in the run."""
        return self.stop - self.start

    @property
    def num_keys(self) -> int:
        """Keys that its last query sees."""
        return self.num_queries + self.prefix_stop - self.prefix_start


@dataclass(frozen=True)
class SpanPlan:
    """All runs in row-major order, and the tensors that varlen kernels take (int32 cumulative lengths, gathered keys)."""

    runs: tuple[Run, ...]
    cu_seqlens_q: Int[Tensor, " runs_plus_1"]
    cu_seqlens_k: Int[Tensor, " runs_plus_1"]
    key_index: Int[Tensor, " keys"]
    max_q: int
    max_k: int


def plan_spans(segment_ids: Int[Tensor, "rows n"], parent_ids: Int[Tensor, "rows n"]) -> SpanPlan:
    """Read the runs off the segment tensors.

    Raises ShapeError where a segment is torn apart or a parent does not stand before its branch.

    >>> seg, parent = torch.tensor([[0, 0, 0, 1, 1, 2]]), torch.tensor([[-2, -2, -2, 0, 0, 0]])
    >>> plan = plan_spans(seg, parent)
    >>> plan.cu_seqlens_q.tolist(), plan.cu_seqlens_k.tolist(), plan.key_index.tolist()
    ([0, 3, 5, 6], [0, 3, 8, 12], [0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 5])
    """
    runs: list[Run] = []
    length = segment_ids.shape[1]
    for row, (segments, parents) in enumerate(zip(segment_ids.tolist(), parent_ids.tolist(), strict=True)):
        places: dict[int, tuple[int, int]] = {}
        start = 0
        while start < length:
            stop = start
            while stop < length and segments[stop] == segments[start]:
                stop += 1
            segment, parent, offset = segments[start], parents[start], row * length
            if segment in places:
                raise ShapeError("a segment is torn apart", expected="one run of tokens for each segment id", found=f"segment {segment} twice")
            if parent >= 0 and parent not in places:
                raise ShapeError("a branch stands before its prefix", expected=f"segment {parent} to the left", found=f"segment {segment}")
            prefix = places.get(parent, (start, start))
            runs.append(Run(offset + start, offset + stop, offset + prefix[0], offset + prefix[1]))
            places[segment] = (start, stop)
            start = stop
    return _tensors(tuple(runs), segment_ids.device)


def _tensors(runs: tuple[Run, ...], device: torch.device) -> SpanPlan:
    queries = torch.tensor([0, *(r.num_queries for r in runs)])
    keys = torch.tensor([0, *(r.num_keys for r in runs)])
    index = torch.cat([torch.cat([torch.arange(r.prefix_start, r.prefix_stop), torch.arange(r.start, r.stop)]) for r in runs])
    return SpanPlan(
        runs,
        queries.cumsum(0).to(device, torch.int32),
        keys.cumsum(0).to(device, torch.int32),
        index.to(device),
        int(queries.max()),
        int(keys.max()),
    )


@dataclass(frozen=True)
class Piece:
    """A stretch of the flattened rows that one call attends: a prefix, or neighbouring branches of one prefix.

    `prefix` is the place of the prefix among the pieces, `lengths` the branches' lengths; a prefix has neither.
    """

    length: int
    prefix: int | None = None
    branches: tuple[int, ...] = ()


# Branches share a call up to this many queries: fewer calls, and little is spent on keys of siblings (measured on 2 cores).
_SHARED_QUERIES = 64


def plan_pieces(runs: tuple[Run, ...]) -> tuple[Piece, ...]:
    """Cut the rows into pieces, in order.

    >>> plan_pieces((Run(0, 3, 0, 0), Run(3, 5, 0, 3), Run(5, 6, 0, 3)))
    (Piece(length=3, prefix=None, branches=()), Piece(length=3, prefix=0, branches=(2, 1)))
    """
    pieces: list[Piece] = []
    place_of: dict[int, int] = {}
    for run in runs:
        n = run.num_queries
        if run.num_keys == n:
            place_of[run.start] = len(pieces)
            pieces.append(Piece(n))
            continue
        last, prefix = pieces[-1], place_of[run.prefix_start]
        if last.prefix == prefix and last.length + n <= _SHARED_QUERIES:
            pieces[-1] = Piece(last.length + n, prefix, (*last.branches, n))
        else:
            pieces.append(Piece(n, prefix, (n,)))
    return tuple(pieces)
