"""Visual tokens at their place in the text: each placeholder makes room for the tokens of one visual.

    ids     [ 9  V  7 ]                  V = <volume>, two visual tokens v0 v1
    expand  [ 9  V  V  7 ]
    place   [ e9 v0 v1 e7 ]

Placeholders are token ids of their own, beyond or inside the vocabulary; their embeddings are never looked at, and text from a
user cannot become one (vol3d.vlm.prompt makes it harmless first).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vol3d.errors import ShapeError

KINDS = ("volume", "slice", "overlay")


@dataclass(frozen=True)
class Visual:
    """What one placeholder stands for: token vectors (+-1 of the visual tokenizer) and where they lie.

    `geometry` maps the grid's `(z, y, x, 1)` indices to RAS mm.
    """

    kind: str
    vectors: Float[Tensor, "c z y x"]
    geometry: Float[Tensor, "4 4"]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ShapeError("unknown kind of visual", expected=", ".join(KINDS), found=self.kind)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along z, y, x."""
        _, z, y, x = self.vectors.shape
        return z, y, x


def add_placeholders(tokenizer: Any) -> dict[str, int]:
    """Add `<volume>`, `<slice>`, `<overlay>` to a text tokenizer as special tokens; kind -> token id."""
    names = [f"<{kind}>" for kind in KINDS]
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    return dict(zip(KINDS, tokenizer.convert_tokens_to_ids(names), strict=True))


def expand(ids: Int[Tensor, " n"], kinds: Sequence[str], lengths: Sequence[int], placeholders: Mapping[str, int]) -> Int[Tensor, " m"]:
    """Repeat each placeholder as often as its visual has tokens.

    Raises ShapeError where placeholders and visuals differ in number, kind or order.

    >>> expand(torch.tensor([9, 50, 7]), ["volume"], [2], {"volume": 50}).tolist()
    [9, 50, 50, 7]
    """
    named = {token: kind for kind, token in placeholders.items()}
    wanted = [named[i] for i in ids.tolist() if i in named]
    if wanted != list(kinds):
        raise ShapeError(
            "placeholders and visuals do not match",
            expected=", ".join(wanted) or "no visual",
            found=", ".join(kinds) or "none",
            hint="Give one visual for each placeholder, in reading order.",
        )
    return ids[_sources(ids, lengths, placeholders)]


def place(
    ids: Int[Tensor, "*rows n"], embeds: Float[Tensor, "*rows n d"], tokens: Float[Tensor, "m d"] | None, placeholders: Mapping[str, int]
) -> Float[Tensor, "*rows n d"]:
    """Put visual tokens (all of the batch, in reading order) where expanded ids hold placeholders.

    Raises ShapeError where there are more or fewer tokens than places.
    """
    where = _is_placeholder(ids, placeholders)
    places, given = int(where.sum()), 0 if tokens is None else len(tokens)
    if places != given:
        raise ShapeError("visual tokens do not fill their places", expected=f"{places} tokens", found=f"{given}")
    if tokens is None:
        return embeds
    return embeds.masked_scatter(where[..., None].expand_as(embeds), tokens.to(embeds))


def fuse_one(
    ids: Int[Tensor, " n"],
    embeds: Float[Tensor, "n d"],
    visuals: Sequence[tuple[str, Float[Tensor, "_ d"]]],
    placeholders: Mapping[str, int],
) -> tuple[Int[Tensor, " m"], Float[Tensor, "m d"]]:
    """One example: ids and embeddings with each placeholder replaced by its visual's tokens.

    Args:
        ids: text with one placeholder for each visual.
        embeds: their embeddings; what stands at a placeholder is dropped.
        visuals: (kind, tokens) in reading order.
        placeholders: kind -> token id.

    Raises ShapeError where they do not match.

    >>> ids, embeds = torch.tensor([9, 50, 7]), torch.tensor([[9.0], [0.0], [7.0]])
    >>> fuse_one(ids, embeds, [("volume", torch.tensor([[1.0], [2.0]]))], {"volume": 50})[1].flatten().tolist()
    [9.0, 1.0, 2.0, 7.0]
    """
    lengths = [len(tokens) for _, tokens in visuals]
    expanded = expand(ids, [kind for kind, _ in visuals], lengths, placeholders)
    tokens = torch.cat([tokens for _, tokens in visuals]) if visuals else None
    return expanded, place(expanded, embeds[_sources(ids, lengths, placeholders)], tokens, placeholders)


def _sources(ids: Int[Tensor, " n"], lengths: Sequence[int], placeholders: Mapping[str, int]) -> Int[Tensor, " m"]:
    """For each expanded place, the place in `ids` that it comes from."""
    repeats = torch.ones_like(ids)
    repeats[_is_placeholder(ids, placeholders)] = torch.tensor(list(lengths), dtype=ids.dtype, device=ids.device)
    return torch.arange(len(ids), device=ids.device).repeat_interleave(repeats)


def _is_placeholder(ids: Tensor, placeholders: Mapping[str, int]) -> Tensor:
    return torch.isin(ids, torch.tensor(list(placeholders.values()), dtype=ids.dtype, device=ids.device))
