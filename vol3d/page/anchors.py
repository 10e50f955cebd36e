"""Where things stand on the page: every measurement, claim and picture has one address that others link to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from vol3d.contracts import Claim, LabelMap, Measurement, Picture


@dataclass(frozen=True)
class Anchors:
    """Addresses within one page.

    Args:
        measurements: what the table shows; the first of two with one id wins.
        pictures: what the slices show.
        claims: what the report text says.
        masks: the label maps behind the pictures, for structures that are drawn as their parts.
    """

    measurements: tuple[Measurement, ...]
    pictures: tuple[Picture, ...]
    claims: tuple[Claim, ...] = ()
    masks: tuple[LabelMap, ...] = ()
    _by_id: dict[str, Measurement] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Filled from the end, so that the first one stays.
        object.__setattr__(self, "_by_id", {item.id: item for item in reversed(self.measurements)})

    def find(self, measurement_id: str | None) -> Measurement | None:
        """The measurement with that id, or None."""
        return self._by_id.get(measurement_id or "")

    def measurement(self, measurement_id: str) -> str:
        """Address of a measurement's row.

        >>> Anchors((), ()).measurement("liver/all/volume")
        'm:liver/all/volume'
        """
        return "m:" + quote(measurement_id, safe="/:")

    def picture(self, structure: str) -> str | None:
        """Address of the first picture that shows a structure, or a part of it; None where there is none."""
        names = [structure, *self._parts(structure)]
        return next((f"picture-{n}" for name in names for n, item in enumerate(self.pictures, 1) if name in item.structures), None)

    def _parts(self, structure: str) -> list[str]:
        parts: dict[str, None] = {}
        for labels in self.masks:
            whole = set(labels.ids(structure))
            parts |= dict.fromkeys(name for name in labels.structures if whole and set(labels.ids(name)) < whole and labels.ids(name))
        return list(parts)

    def claims_on(self, measurement_id: str) -> tuple[int, ...]:
        """Numbers (from 1) of the claims that rest on a measurement."""
        return tuple(n for n, claim in enumerate(self.claims, 1) if claim.measurement_id == measurement_id)


def unique(groups: Iterable[Sequence[Measurement]]) -> tuple[Measurement, ...]:
    """All measurements of several lists, the first of each id."""
    items: dict[str, Measurement] = {}
    for group in groups:
        for item in group:
            items.setdefault(item.id, item)
    return tuple(items.values())
