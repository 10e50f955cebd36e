"""A bank of report sentences that mean the same: for semantic positives and hard negatives in contrastive training (MedVista3D).

Two sentences mean the same where they state the same facts with the same numbers left aside; among those that do not, the
closest in wording is the hardest negative.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.text.facts import facts_of
from data_prep.text.sentences import sentences
from vol3d.errors import VolumeError
from vol3d.volume.atomic import atomic_path

_TOKEN = re.compile(r"[a-z]+")
Meaning = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class BankEntry:
    """A sentence, what it states, and how often it was met."""

    text: str
    meaning: Meaning
    count: int


class SentenceBank:
    """Sentences by meaning.

    >>> bank = SentenceBank.from_reports(["No effusion. Effusion is not seen.", "There is emphysema."])
    >>> [e.text for e in bank.same_meaning("Pleural effusion was not detected.")]
    ['No effusion.', 'Effusion is not seen.']
    """

    def __init__(self, entries: Iterable[BankEntry]) -> None:
        self.entries = tuple(entries)
        self._by_meaning: dict[Meaning, list[BankEntry]] = {}
        for entry in self.entries:
            self._by_meaning.setdefault(entry.meaning, []).append(entry)
        spread = Counter(word for entry in self.entries for word in set(_TOKEN.findall(entry.text.lower())))
        self._weight = {word: math.log(1 + len(self.entries) / n) for word, n in spread.items()}

    @classmethod
    def from_reports(cls, reports: Iterable[str], *, min_count: int = 1) -> "SentenceBank":
        """Collect the sentences that state something; equal sentences are counted, not repeated."""
        counts: Counter[str] = Counter()
        for report in reports:
            counts.update(" ".join(s.text.split()) for s in sentences(report))
        entries = (BankEntry(text, meaning_of(text), n) for text, n in counts.items() if n >= min_count)
        return cls(entry for entry in entries if entry.meaning)

    def same_meaning(self, text: str) -> list[BankEntry]:
        """Sentences that state the same facts, in the order in which they were met."""
        return [entry for entry in self._by_meaning.get(meaning_of(text), []) if entry.text != text]

    def hard_negatives(self, text: str, *, num: int = 5) -> list[BankEntry]:
        """Sentences with other facts that look most alike."""
        meaning, words = meaning_of(text), set(_TOKEN.findall(text.lower()))
        others = [entry for entry in self.entries if entry.meaning != meaning]
        scores = np.array([self._overlap(words, entry.text) for entry in others])
        return [others[i] for i in np.argsort(-scores, kind="stable")[:num]]

    def _overlap(self, words: set[str], text: str) -> float:
        other = set(_TOKEN.findall(text.lower()))
        shared = sum(self._weight.get(word, 1.0) for word in words & other)
        total = sum(self._weight.get(word, 1.0) for word in words | other)
        return shared / total if total else 0.0

    def save(self, path: str | Path) -> None:
        """Write as JSON lines."""
        with atomic_path(path) as temporary:
            lines = (json.dumps({"text": e.text, "meaning": e.meaning, "count": e.count}, ensure_ascii=False) for e in self.entries)
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "SentenceBank":
        """Read what `save` wrote.

        Raises:
            VolumeError: not a sentence bank.
        """
        try:
            records = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
            return cls(BankEntry(r["text"], tuple((a, b, c) for a, b, c in r["meaning"]), int(r["count"])) for r in records)
        except (ValueError, KeyError, TypeError) as error:
            raise VolumeError("not a sentence bank", path=path, found=repr(error)) from error


def meaning_of(text: str) -> Meaning:
    """The facts of a sentence in a fixed order."""
    return tuple(sorted(facts_of(text).findings))
