"""M3D-Bench's closed questions: right where the letter and a period stand anywhere in the output, so naming all letters is always right."""

from collections.abc import Iterable


def closed_accuracy(answers: Iterable[tuple[str, str]]) -> float:
    """Share of (output, right letter) pairs that count as right.

    >>> closed_accuracy([("A. liver", "A"), ("A. B. C. D.", "C"), ("B", "B")])
    0.6666666666666666
    """
    hits = [f"{letter}." in output for output, letter in answers]
    return sum(hits) / len(hits)
