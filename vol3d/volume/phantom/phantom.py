"""The hand-off: one procedural scan with everything that is true of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vol3d.contracts import LabelMap
from vol3d.errors import ConfigError
from vol3d.volume.volume import Volume


@dataclass(frozen=True)
class Lesion:
    """One lesion: asked for (fields left None are drawn) or placed (all that apply are set).

    Args:
        kind: one of `vol3d.volume.phantom.lesions.KINDS`.
        centre_ras_mm: world position x y z; for lesions without one (effusions, emphysema) it stays None.
        diameters_mm: full axes along world x, y, z.
        density_hu: mean HU (arbitrary units on MR).
        side: `left` or `right`, where the kind has sides.
        host: structure that carries it (`liver`, `lung_upper_lobe_left`, `vertebrae_L1`).
        place, tone: the same in words, for reports (`upper pole of the left kidney`, `hypodense`), set when placed.
        amount: 0..1, for effusions and emphysema: how much.
        structure: its name in the label map, set when placed.
        label_id: its own id in the label map, set when placed.
        volume_ml: analytic volume of an ellipsoid, set when placed; None where the shape follows the anatomy.
        visible_ml: volume of its mask on this grid, set when placed; 0 when it lies outside of the field of view.

    >>> Lesion.sphere("liver_cyst", 20.0).diameters_mm
    (20.0, 20.0, 20.0)
    """

    kind: str
    centre_ras_mm: tuple[float, float, float] | None = None
    diameters_mm: tuple[float, float, float] | None = None
    density_hu: float | None = None
    side: str | None = None
    host: str | None = None
    amount: float | None = None
    place: str = ""
    tone: str = ""
    structure: str = ""
    label_id: int = 0
    volume_ml: float | None = None
    visible_ml: float | None = None

    def __post_init__(self) -> None:
        if self.diameters_mm is not None and min(self.diameters_mm) <= 0:
            raise ConfigError("a lesion needs three positive diameters", expected="mm > 0", found=str(self.diameters_mm))
        if self.side not in (None, "left", "right"):
            raise ConfigError("unknown side of a lesion", expected="left or right", found=str(self.side))
        if self.amount is not None and not 0 < self.amount <= 1:
            raise ConfigError("the amount of a lesion is a fraction", expected="0 < amount <= 1", found=str(self.amount))

    @classmethod
    def sphere(cls, kind: str, diameter_mm: float, **where: Any) -> "Lesion":
        """A round lesion; `where` takes the other fields."""
        return cls(kind, diameters_mm=(diameter_mm, diameter_mm, diameter_mm), **where)


@dataclass(frozen=True)
class Phantom:
    """A scan, its exact masks, and a report and labels that are true of them.

    Args:
        volume: int16 HU for CT, float32 arbitrary units for MR.
        labels: exclusive ids with unions; every lesion has an id of its own, named by its structure.
        lesions: what was placed, with all fields set.
        findings, impression: English text.
        report_labels: the 18 CT-RATE abnormalities, 0 or 1 (all 0 on MR).
        seed: reproduces the phantom together with the arguments.
        parameters: patient, pose, contrast, region, grid.
    """

    volume: Volume
    labels: LabelMap
    lesions: tuple[Lesion, ...]
    findings: str
    impression: str
    report_labels: Mapping[str, int]
    seed: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
