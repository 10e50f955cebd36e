"""Several conversations in one row, with who-sees-whom written down instead of inferred.

A group is one prefix (images, evidence) and its branches (one question and answer each). A branch sees the prefix and itself,
never its siblings, and its rope positions go on from the end of the prefix, so it computes what it would compute alone:

    row      p0 p1 p2 | a0 a1 | b0 b1 b2 | q0 q1 ...
    segment   0  0  0    1  1    2  2  2    3  3
    parent    -  -  -    0  0    0  0  0    -  -
    position  0  1  2    3  4    3  4  5    0  1

Segment ids, parents and positions are three tensors: libraries that infer packing from positions alone leak between samples
as soon as positions repeat.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vol3d.errors import ShapeError

IGNORE = -100  # a label that is not trained
PADDING = -1  # segment of padding
NO_PARENT = -2


@dataclass(frozen=True)
class Span:
    """A run of tokens: `labels` equal the ids where they are trained and IGNORE elsewhere, `weights` scale their losses."""

    ids: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    weights: Float[Tensor, " n"]

    def __post_init__(self) -> None:
        if not self.ids.shape == self.labels.shape == self.weights.shape:
            raise ShapeError("ids, labels and weights differ in length", found=(self.ids.shape, self.labels.shape, self.weights.shape))

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: "Span") -> "Span":
        pairs = ((self.ids, other.ids), (self.labels, other.labels), (self.weights, other.weights))
        return Span(*(torch.cat(pair) for pair in pairs))


def context(ids: Int[Tensor, " n"] | Sequence[int]) -> Span:
    """Tokens that are read and not trained."""
    ids = torch.as_tensor(ids, dtype=torch.long)
    return Span(ids, torch.full_like(ids, IGNORE), torch.zeros(len(ids)))


def target(ids: Int[Tensor, " n"] | Sequence[int], *, weight: float = 1.0) -> Span:
    """Tokens that are trained.

    >>> (context([5, 6]) + target([7])).labels.tolist()
    [-100, -100, 7]
    """
    ids = torch.as_tensor(ids, dtype=torch.long)
    return Span(ids, ids.clone(), torch.full((len(ids),), weight))


@dataclass(frozen=True)
class Group:
    """One prefix, its branches, and the visuals of its placeholders in reading order (prefix, then branch by branch)."""

    prefix: Span
    branches: tuple[Span, ...] = ()
    visuals: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if len(self.prefix) == 0 or any(len(b) == 0 for b in self.branches):
            raise ShapeError("a prefix or a branch is empty", expected="at least one token each")

    def __len__(self) -> int:
        return len(self.prefix) + sum(map(len, self.branches))


@dataclass(frozen=True)
class PackedBatch:
    """Rows of packed groups.

    `predictors` holds, for each token, the place in its row of the token that predicts it: the one before it in its segment, the
    prefix's last for the first token of a branch, -1 for the first of a prefix. `visuals` are in row-major reading order.
    """

    ids: Int[Tensor, "rows n"]
    segment_ids: Int[Tensor, "rows n"]
    parent_ids: Int[Tensor, "rows n"]
    positions: Int[Tensor, "rows n"]
    labels: Int[Tensor, "rows n"]
    weights: Float[Tensor, "rows n"]
    predictors: Int[Tensor, "rows n"]
    visuals: tuple[Any, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Tokens that are not padding."""
        return int((self.segment_ids != PADDING).sum())

    def to(self, device: str | torch.device) -> "PackedBatch":
        """The same batch elsewhere; visuals move when they are projected."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


def block_mask(
    query_segments: Int[Tensor, "rows q"], query_parents: Int[Tensor, "rows q"], key_segments: Int[Tensor, "rows k"]
) -> Bool[Tensor, "rows 1 q k"]:
    """Who may see whom: earlier tokens of one's own segment and of its parent. Queries are the last `q` of the `k` tokens."""
    same = query_segments[:, :, None] == key_segments[:, None, :]
    parent = query_parents[:, :, None] == key_segments[:, None, :]
    num_queries, num_keys = query_segments.shape[1], key_segments.shape[1]
    order = torch.ones(num_queries, num_keys, dtype=torch.bool, device=same.device).tril(num_keys - num_queries)
    return ((same | parent) & order)[:, None]


def pack(groups: Sequence[Group], *, row_length: int | None = None) -> PackedBatch:
    """Put groups into few and even rows of at most `row_length` tokens; one row for all where it is None.

    Raises ShapeError for a group that is longer than a row.

    >>> batch = pack([Group(context([1, 2, 3]), (context([4, 5]), context([6])))])
    >>> batch.segment_ids.tolist(), batch.positions.tolist(), batch.predictors.tolist()
    ([[0, 0, 0, 1, 1, 2]], [[0, 1, 2, 3, 4, 3]], [[-1, 0, 1, 2, 3, 2]])
    """
    if not groups:
        raise ShapeError("nothing to pack", expected="at least one group")
    rows = [list(groups)] if row_length is None else _fill_rows(groups, row_length)
    laid = [_lay_row(row) for row in rows]
    longest = max(len(row["ids"]) for row in laid)
    fill = {"segment_ids": PADDING, "parent_ids": NO_PARENT, "labels": IGNORE, "predictors": -1}

    def stack(name: str) -> Tensor:
        pad = torch.nn.functional.pad
        return torch.stack([pad(row[name], (0, longest - len(row[name])), value=fill.get(name, 0)) for row in laid])

    visuals = tuple(visual for row in rows for group in row for visual in group.visuals)
    return PackedBatch(**{name: stack(name) for name in laid[0]}, visuals=visuals)


def _fill_rows(groups: Sequence[Group], row_length: int) -> list[list[Group]]:
    """As few rows as first fit needs, then as even as they get: padding is computed like any token."""
    falling = sorted(groups, key=len, reverse=True)
    if len(falling[0]) > row_length:
        hint = "Raise row_length, or ask fewer questions in one group."
        raise ShapeError("a group does not fit into a row", expected=f"at most {row_length} tokens", found=len(falling[0]), hint=hint)
    fitted: list[list[Group]] = []
    for group in falling:
        place = next((row for row in fitted if sum(map(len, row)) + len(group) <= row_length), None)
        if place is None:
            fitted.append([group])
        else:
            place.append(group)
    even: list[list[Group]] = [[] for _ in fitted]
    for group in falling:
        min(even, key=lambda row: sum(map(len, row))).append(group)
    return even if max(sum(map(len, row)) for row in even) <= row_length else fitted


def _lay_row(groups: Sequence[Group]) -> dict[str, Tensor]:
    """The tensors of one row, unpadded."""
    columns: dict[str, list[Tensor]] = {name: [] for name in ("ids", "segment_ids", "parent_ids", "positions", "labels", "weights", "predictors")}
    segment, place = 0, 0
    for group in groups:
        root, prefix_end = segment, place + len(group.prefix)
        for span in (group.prefix, *group.branches):
            is_prefix = segment == root
            n, start = len(span), 0 if is_prefix else len(group.prefix)
            predictors = torch.arange(place - 1, place + n - 1)
            predictors[0] = -1 if is_prefix else prefix_end - 1
            values = {
                "ids": span.ids,
                "segment_ids": torch.full((n,), segment),
                "parent_ids": torch.full((n,), NO_PARENT if is_prefix else root),
                "positions": torch.arange(start, start + n),
                "labels": span.labels,
                "weights": span.weights,
                "predictors": predictors,
            }
            for name, value in values.items():
                columns[name].append(value)
            segment, place = segment + 1, place + n
    return {name: torch.cat(parts) for name, parts in columns.items()}
