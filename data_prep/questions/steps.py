"""Links of the chain of evidence, in the three forms that recur: a mask, a number of it, a rule applied to the number."""

from data_prep.questions.anatomy import words
from data_prep.questions.model import Step


def segment(structure: str) -> Step:
    """A mask is needed."""
    return Step("segment", f"segment the {words(structure)}", structure=structure)


def measured(structure: str, name: str, value: float | str, unit: str = "") -> Step:
    """A number of a mask; `name` as in `experts3d.measure`."""
    shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
    text = f"{name.replace('_', ' ')} of the {words(structure)}: {shown}{' ' + unit if unit else ''}"
    return Step("measure", text, structure=structure, name=name, value=value, unit=unit)


def rule(text: str) -> Step:
    """A threshold or definition from outside the scan."""
    return Step("knowledge", text)


def computed(text: str, value: float | str) -> Step:
    """What follows from the numbers before."""
    return Step("compute", text, value=value)
