"""Measurements by address: what the derived numbers are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass

from experts3d import thresholds as limits
from vol3d.contracts import Measurement, Status

Value = float | int | str


@dataclass(frozen=True)
class Facts:
    """Measurements by address."""

    measurements: Sequence[Measurement]

    def __post_init__(self) -> None:
        found = (m for m in self.measurements if m.status in (Status.FOUND, Status.ABSENT))
        object.__setattr__(self, "_by_address", {(m.structure, m.name, m.component): m for m in found})

    def get(self, structure: str, name: str, component: int | None = None) -> Measurement | None:
        """The measurement at an address, or None."""
        return self._by_address.get((structure, name, component))  # type: ignore[attr-defined]

    def number(self, structure: str, name: str, component: int | None = None) -> float | None:
        """Its value, where it is a number."""
        item = self.get(structure, name, component)
        return float(item.value) if item is not None and isinstance(item.value, int | float) else None

    def whole(self, structure: str, name: str = "volume") -> float | None:
        """The number of a structure that is there and that the scan does not cut off."""
        cut = self.number(structure, "touches_border")
        return self.number(structure, name) if cut == 0 else None

    def hounsfield(self, structure: str) -> float | None:
        """The mean of a structure in HU; None on scans without HU."""
        item = self.get(structure, "mean_intensity")
        return self.number(structure, "mean_intensity") if item is not None and item.unit == "HU" else None

    def unenhanced(self) -> str | None:
        """How the contrast phase was judged, or None when the aorta shows contrast."""
        aorta = self.hounsfield("aorta")
        if aorta is None:
            return "contrast phase unknown"
        if aorta > limits.ENHANCED_BLOOD_HU.value:
            return None
        return f"unenhanced: aorta {aorta:.0f} HU"

    def make(self, structure: str, name: str, value: Value, unit: str, method: str, component: int | None = None) -> Measurement:
        """A derived measurement of a structure that has others."""
        base = next(m for m in self.measurements if m.structure == structure)
        return Measurement(name=name, value=value, unit=unit, structure=structure, component=component, method=method, mask_id=base.mask_id)
