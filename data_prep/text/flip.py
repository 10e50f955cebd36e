"""Left-right flips of an image change its report: swap the sides, or refuse where the words cannot be swapped.

A mirrored chest has its heart on the right. Text that names parts which exist on one side only (middle lobe, lingula) or whose
name holds a side without being a place (left ventricle, right coronary artery) has no true mirrored version, so it is refused.
"""

import re

from vol3d.errors import ConfigError

_SIDE = re.compile(r"\b(left|right)(-?)", re.IGNORECASE)
_MIRROR = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "LEFT": "RIGHT", "RIGHT": "LEFT"}
_ONE_SIDED = re.compile(
    r"\b(?:middle lobe|lingul\w+|(?:left|right) (?:atri\w+|ventric\w+|heart|coronary|anterior descending|main coronary|circumflex|hemicolon|crus)"
    r"|LAD|RCA|LCX|azygos|situs|dextrocard\w*|levocard\w*|descending aorta|aortic arch|ascending colon|descending colon|sigmoid|caecum|appendix|clockwise)\b",
    re.IGNORECASE,
)
_SIDED_ORGAN = re.compile(r"\b(?:liver|hepat\w+|spleen|splenic|stomach|gastric|gall ?bladder|pancrea\w+|heart|aorta|aortic)\b", re.IGNORECASE)


def flip_text(text: str, *, allow_sided_organs: bool = True) -> str:
    """The report of the mirrored image.

    Args:
        text: report or sentence.
        allow_sided_organs: accept organs that have a side of their own (the liver would lie on the left in the picture, as
            in situs inversus). Models that shall know anatomy should not see such pairs: set False.

    Raises:
        ConfigError: the text has no true mirrored version.

    >>> flip_text("A 5 mm nodule in the right upper lobe; Left pleural effusion.")
    'A 5 mm nodule in the left upper lobe; Right pleural effusion.'
    """
    fixed = _ONE_SIDED.search(text) or (None if allow_sided_organs else _SIDED_ORGAN.search(text))
    if fixed:
        raise ConfigError(
            "this text cannot be mirrored",
            expected="words that exist on both sides",
            found=fixed.group(),
            hint="Leave out left-right flips for this sample.",
        )
    return _SIDE.sub(lambda m: _MIRROR.get(m.group(1), _MIRROR[m.group(1).lower()]) + m.group(2), text)


def can_flip(text: str, *, allow_sided_organs: bool = True) -> bool:
    """Whether `flip_text` would take this text."""
    return not (_ONE_SIDED.search(text) or (not allow_sided_organs and _SIDED_ORGAN.search(text)))
