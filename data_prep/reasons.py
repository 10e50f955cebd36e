"""Short names for refusals, so that a quarantine table can be counted by kind."""

import re

from vol3d.errors import GeometryError, IntensityError, MissingExtraError, ResourceError, VolumeError

# Words of a refusal -> its short name; the first that fits counts.
_REASONS: tuple[tuple[str, str], ...] = (
    (r"rescaled twice", "rescaled_twice"),
    (r"slope and intercept", "not_hu"),
    (r"\bNaN\b|not numbers|infinite", "nan"),
    (r"left and right look exchanged", "mirrored"),
    (r"Hounsfield|not look like CT|intercept was never", "not_hu"),
    (r"same value", "constant"),
    (r"another grid", "mask_on_another_grid"),
    (r"trunca|incomplete|ends (?:too )?early|end of (?:the )?file|checksum|CRC|damaged|short", "damaged_file"),
    (r"spacing", "spacing"),
    (r"No such file|does not exist|no file|cannot be opened", "missing_file"),
    (r"missing slice|gap|duplicate", "broken_series"),
)


def reason_of(error: BaseException) -> str:
    """The short name of a refusal.

    >>> reason_of(IntensityError("this CT looks rescaled twice: 1024 HU too low"))
    'rescaled_twice'
    """
    text = str(error)
    for pattern, name in _REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            return name
    kinds = {
        IntensityError: "intensity",
        GeometryError: "geometry",
        ResourceError: "resources",
        MissingExtraError: "missing_extra",
        VolumeError: "unreadable",
        OSError: "missing_file",
    }
    return next((name for kind, name in kinds.items() if isinstance(error, kind)), "refused")
