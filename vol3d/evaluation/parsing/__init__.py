"""Readers of what a model wrote: a letter, yes or no, a number, a category; None where the text does not decide.

`strict` accepts only text that commits to one answer; `lenient` also takes the most likely reading, as a reader in a hurry would.
A score is worth little without the share of answers that could be read at all, so every table shows both.
"""

from typing import Literal

from vol3d.evaluation.parsing.choice import parse_category, parse_choice
from vol3d.evaluation.parsing.number import Quantity, parse_number, parse_quantity
from vol3d.evaluation.parsing.yes_no import parse_yes_no

Mode = Literal["strict", "lenient"]

__all__ = ["Mode", "Quantity", "parse_category", "parse_choice", "parse_number", "parse_quantity", "parse_yes_no"]
