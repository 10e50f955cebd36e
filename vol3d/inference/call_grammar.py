"""What a reply may say so that `parse_calls` takes every call in it: an automaton over characters, made from the cards.

A reply is free until it opens a call. `<` and a letter open one; from there on only `<name(argument, argument)>` with a card's own
words follows, no argument twice. `<` before anything else (`<5 mm`, `< -950 HU`) stays text. Where no call may be opened any more, `<` is left out.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from vol3d.inference.triggers import MAX_CALLS

# 16 arguments of 120 characters stay within what the parser reads of one call.
MOST_ARGUMENTS = 16
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_ARGUMENT = re.compile(r"[^\s<>(),](?:[^\n<>(),]{0,118}[^\s<>(),])?", re.ASCII)
_MOST_REMEMBERED = 4096


class Place(NamedTuple):
    """How far a reply has come: calls that it closed, the card of an open call, its arguments so far, and the characters since."""

    calls: int = 0
    card: str | None = None
    used: frozenset[str] = frozenset()
    pending: str = ""

    @property
    def is_text(self) -> bool:
        """Whether no call is open, so that the reply may end here."""
        return self.card is None and self.pending in ("", "<")


class CallGrammar:
    """The replies that are free of malformed calls.

    Args:
        offered: expert -> arguments, of the cards that the model is shown; none: it cannot call.
        spells: whether something can be written at all; names and arguments that cannot are left out.

    >>> grammar = CallGrammar({"deepbet": ["brain"]})
    >>> grammar.accepts("a lesion <5 mm, so <deepbet(brain)>"), grammar.accepts("<deepbet(skull)>"), grammar.accepts("<deepbet(brain, brain)>")
    (True, False, False)
    """

    def __init__(self, offered: Mapping[str, Sequence[str]], spells: Callable[[str], bool] = lambda text: True) -> None:
        self._arguments: dict[str, tuple[str, ...]] = {}
        for name, arguments in offered.items():
            usable = tuple(a for a in dict.fromkeys(arguments) if _ARGUMENT.fullmatch(a) and a.isascii() and spells(a))
            if _NAME.fullmatch(name) and spells(f"<{name}()>, ") and (usable or not arguments):
                self._arguments[name] = usable
        # A card without arguments is called with empty brackets.
        self._names = tuple(sorted(f"<{name}(" if arguments else f"<{name}()>" for name, arguments in self._arguments.items()))
        self._lists: dict[tuple[str, frozenset[str]], tuple[str, ...]] = {}
        longest = max((len(a) for arguments in self._arguments.values() for a in arguments), default=0)
        # Wherever a reply stands, no more characters than this are needed to close the call.
        self.longest_way_out = max(map(len, self._names), default=0) + 2 * longest + 4

    def accepts(self, text: str) -> bool:
        """Whether a whole reply is free of malformed calls."""
        place = self.follow(Place(), text)
        return place is not None and place.is_text

    def follow(self, place: Place, text: str) -> Place | None:
        """Where `text` leads, or None where it may not be said."""
        for char in text:
            following = self._step(place, char)
            if following is None:
                return None
            place = following
        return place

    def next_characters(self, place: Place) -> set[str]:
        """What may follow inside a call; of a lone `<`, the letters that open one."""
        return {option[len(place.pending)] for option in self._continuations(place)}

    def way_out(self, place: Place) -> int:
        """The fewest characters that close an open call."""
        if place.is_text:
            return 0
        return min(len(option) - len(place.pending) + self._rest(place, option) for option in self._continuations(place))

    def _step(self, place: Place, char: str) -> Place | None:
        if place.card is None and place.pending in ("", "<"):
            opened = place.pending == "<"
            if char == "<":
                # A second bracket on the heels of the first says nothing, and a model that is kept from its wish would say it for ever.
                may_open = bool(self._names) and place.calls < MAX_CALLS and not opened
                return place._replace(pending="<") if may_open else None
            if not (opened and char.isascii() and (char.isalpha() or char == "_")):
                return place._replace(pending="")
        said = place._replace(pending=place.pending + char)
        option = next(self._continuations(said), None)
        if option is None:
            return None
        return said if option != said.pending else self._finish(place, option)

    def _finish(self, place: Place, option: str) -> Place:
        if option.endswith(">"):
            return Place(place.calls + 1)
        if place.card is None:
            return Place(place.calls, option[1:-1])
        return Place(place.calls, place.card, place.used | {option[:-2]})

    def _continuations(self, place: Place) -> Iterator[str]:
        """The pieces of a call that begin with what is pending: `<name(`, `argument, ` and `argument)>`."""
        options = self._names if place.card is None else self._list(place.card, place.used)
        for i in range(bisect_left(options, place.pending), len(options)):
            if not options[i].startswith(place.pending):
                return
            yield options[i]

    def _list(self, card: str, used: frozenset[str]) -> tuple[str, ...]:
        found = self._lists.get((card, used))
        if found is None:
            left = [a for a in self._arguments[card] if a not in used]
            more = len(left) > 1 and len(used) + 1 < MOST_ARGUMENTS
            found = tuple(sorted([f"{a})>" for a in left] + ([f"{a}, " for a in left] if more else [])))
            if len(self._lists) >= _MOST_REMEMBERED:
                self._lists.clear()
            self._lists[card, used] = found
        return found

    def _rest(self, place: Place, option: str) -> int:
        """What has to follow a piece before the call can end."""
        if option.endswith(">"):
            return 0
        following = self._finish(place, option)
        assert following.card is not None  # only a piece that ends a call leads back to text
        return 2 + min(len(a) for a in self._arguments[following.card] if a not in following.used)
