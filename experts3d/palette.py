"""One colour for each structure name, the same in every picture, session and training run.

The names of the label tables have the colours of experts3d/tables/palette.csv. benchmarks/make_palette.py chose them so that structures that touch
stay apart for normal, deuteranopic and protanopic eyes. A name that is in no table gets a colour from its letters.
"""

import colorsys
import csv
import re
import zlib
from functools import cache
from importlib.resources import files

from experts3d.anatomy import side_of_name

Colour = tuple[int, int, int]

# Lesions are drawn over organs: strong colours, one for each kind.
LESIONS: tuple[tuple[str, Colour], ...] = (
    ("tumour", (255, 0, 200)),
    ("cyst", (0, 235, 255)),
    ("nodule", (255, 60, 0)),
    ("consolidation", (255, 200, 0)),
    ("emphysema", (130, 0, 215)),
    ("effusion", (60, 120, 255)),
    ("calcification", (255, 255, 165)),
    ("node", (150, 255, 0)),
    ("hernia", (255, 150, 150)),
    ("lesion", (255, 150, 255)),
)
RIGHT_SHADE = 0.62


def colour_of(structure: str) -> Colour:
    """RGB of a structure.

    >>> colour_of("liver_tumour"), colour_of("kidney_left") != colour_of("kidney_right"), colour_of("liver") == colour_of("liver_parenchyma")
    ((255, 0, 200), True, True)
    """
    known = _table().get(structure)
    if known:
        return known
    shade = RIGHT_SHADE if side_of_name(structure) == "right" else 1.0
    for word, colour in LESIONS:
        if word in structure:
            return _shaded(colour, shade)
    whole = structure.removesuffix("_parenchyma").removesuffix("_bone")
    base = re.sub(r"_(left|right)(?=_\d+$|$)", "", whole)
    return _table().get(whole) or _shaded(_table().get(base) or _hashed(base), shade)


def _shaded(colour: Colour, shade: float) -> Colour:
    red, green, blue = (round(value * shade) for value in colour)
    return red, green, blue


@cache
def _table() -> dict[str, Colour]:
    """Colours of the names of the shipped label tables, chosen by benchmarks/make_palette.py."""
    text = (files("experts3d.tables") / "palette.csv").read_text(encoding="utf-8")
    return {row["name"]: (int(row["red"]), int(row["green"]), int(row["blue"])) for row in csv.DictReader(text.splitlines())}


def _hashed(name: str) -> Colour:
    """A colour from the name alone, so that it never depends on what else is drawn."""
    code = zlib.crc32(name.encode())
    hue, lightness, saturation = (code % 360) / 360, 0.42 + 0.28 * ((code >> 9) % 8) / 7, 0.45 + 0.45 * ((code >> 13) % 4) / 3
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)
