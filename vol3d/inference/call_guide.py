"""The call grammar in a tokenizer's own tokens: which of them may come next, and where each leads.

Tokens are compared as text, so one that spans `(liver` or `, ` is as good as one for each letter: the model keeps the spelling it was
trained on. What a place allows is worked out once and remembered.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from vol3d.contracts import ExpertCard
from vol3d.inference.call_grammar import CallGrammar, Place

if TYPE_CHECKING:
    from vol3d.vlm.model import VisionLanguageModel

_ANCHOR = "a"
_MOST_REMEMBERED = 1024


class Vocabulary:
    """A tokenizer's tokens as text, sorted by what they can do to a call.

    Args:
        tokenizer: of a transformers language model.
        end_id: the token that ends a reply. Of all special tokens only this one may be said.
    """

    def __init__(self, tokenizer: Any, end_id: int) -> None:
        self.pieces = _pieces(tokenizer)
        special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special} | set(tokenizer.all_special_ids) | {end_id}
        plain = {i: piece for i, piece in enumerate(self.pieces) if piece and i not in special}
        # A bracket inside a token opens a call, or closes one and goes on: these few are followed letter by letter.
        self.odd = {i: piece for i, piece in plain.items() if "<" in piece or ">" in piece[:-1]}
        harmless = [i for i, piece in plain.items() if "<" not in piece]
        self.text = torch.tensor([end_id, *harmless])
        self.after_bracket = torch.tensor([end_id, *(i for i in harmless if not _is_letter(plain[i][0]))])
        self.ids: dict[str, list[int]] = {}
        for i, piece in plain.items():
            if i not in self.odd and piece.isascii():
                self.ids.setdefault(piece, []).append(i)
        self.prefixes = {piece[:n] for piece in self.ids for n in range(1, len(piece) + 1)}
        self._letters = {piece for piece in plain.values() if len(piece) == 1}

    def spells(self, text: str) -> bool:
        """Whether each character is a token of its own, so that no call can come to a dead end."""
        return self._letters.issuperset(text)


class CallGuide:
    """Keeps a reply within a CallGrammar; implements `vol3d.vlm.decoding.Guide`.

    Args:
        vocabulary: of the model that replies.
        offered: expert -> arguments, of the cards that it is shown.
    """

    def __init__(self, vocabulary: Vocabulary, offered: Mapping[str, Sequence[str]]) -> None:
        self._vocabulary, self._grammar = vocabulary, CallGrammar(offered, vocabulary.spells)
        self._allowed: dict[tuple[Place, int], Int[Tensor, " n"]] = {}
        self.start = Place()

    def after(self, place: Place, token: int) -> Place:
        """Where a token leads that `allowed` gave; the end token leads nowhere."""
        following = self._grammar.follow(place, self._vocabulary.pieces[token])
        return place if following is None else following

    def allowed(self, place: Place, left: int) -> Int[Tensor, " n"]:
        """Ids of the tokens that may come next when `left` tokens may still be said: a call that could not be closed in time is not opened."""
        key = place, left if left <= self._grammar.longest_way_out else -1
        found = self._allowed.get(key)
        if found is None:
            found = self._work_out(place, key[1])
            if len(self._allowed) >= _MOST_REMEMBERED:
                self._allowed.clear()
            self._allowed[key] = found
        return found

    def _work_out(self, place: Place, left: int) -> Int[Tensor, " n"]:
        found = [i for i, following in self._followed(place) if left < 0 or self._grammar.way_out(following) < left]
        if place.is_text:
            free = self._vocabulary.text if place.pending == "" else self._vocabulary.after_bracket
            return torch.cat([free, torch.tensor(found, dtype=free.dtype)])
        return torch.tensor(found)

    def _followed(self, place: Place) -> Iterator[tuple[int, Place]]:
        """Tokens that touch a call, and where they lead."""
        for i, piece in self._vocabulary.odd.items():
            following = self._grammar.follow(place, piece)
            if following is not None:
                yield i, following
        if place.pending or place.card is not None:
            yield from self._spelled("", place)

    def _spelled(self, said: str, place: Place) -> Iterator[tuple[int, Place]]:
        """Tokens that continue a call, letter by letter along both the grammar and the vocabulary."""
        for char in self._grammar.next_characters(place):
            longer = said + char
            following = self._grammar.follow(place, char) if longer in self._vocabulary.prefixes else None
            if following is None:
                continue
            yield from ((i, following) for i in self._vocabulary.ids.get(longer, ()))
            if not following.is_text:
                yield from self._spelled(longer, following)


@lru_cache(maxsize=4)
def vocabulary_of(tokenizer: Any, end_id: int) -> Vocabulary:
    """The vocabulary of a tokenizer, read once."""
    return Vocabulary(tokenizer, end_id)


def guide_for(model: "VisionLanguageModel", cards: Sequence[ExpertCard]) -> CallGuide:
    """The guide of a model that is shown these cards; the same one each time, so that it works out a place once."""
    return _guide(vocabulary_of(model.text_tokenizer, model.end_id), tuple((card.name, card.arguments) for card in cards))


@lru_cache(maxsize=16)
def _guide(vocabulary: Vocabulary, offered: tuple[tuple[str, tuple[str, ...]], ...]) -> CallGuide:
    return CallGuide(vocabulary, dict(offered))


def _is_letter(char: str) -> bool:
    return char.isascii() and (char.isalpha() or char == "_")


def _pieces(tokenizer: Any) -> list[str]:
    """The text that each token adds to a reply; a token's own name would hide its spaces and bytes.

    Bytes that are no whole character come out as U+FFFD, which no call holds.
    """
    anchor = tokenizer(_ANCHOR, add_special_tokens=False)["input_ids"]
    rows = [[*anchor, i] for i in range(len(tokenizer))]
    fast = getattr(tokenizer, "backend_tokenizer", None)
    texts = fast.decode_batch([anchor, *rows], skip_special_tokens=False) if fast is not None else tokenizer.batch_decode([anchor, *rows])
    return [text.removeprefix(texts[0]) for text in texts[1:]]
