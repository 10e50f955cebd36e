"""What can be inserted: hosts, attenuation, edge, texture and mass effect of each kind, in mm and HU."""

from dataclasses import dataclass

from vol3d.errors import ConfigError


@dataclass(frozen=True)
class LesionKind:
    """How lesions of a kind look on CT.

    Args:
        name: canonical structure name of the lesion.
        hosts: structures that may carry it, by their start (`lung` stands for all lobes).
        contrast_hu: added to the host's own mean, lowest and highest; None where the attenuation is absolute.
        density_hu: absolute attenuation, lowest and highest; None where it goes by contrast.
        diameter_mm: smallest and largest that `draw_plan` draws.
        roughness: share of the radius by which the outline wanders.
        edge_mm: width over which lesion turns into host.
        texture_hu: standard deviation of the lesion's own texture, on top of the scan's noise.
        mass_effect: 0 none, 0.5 pushes the host's structures aside visibly.
        words: noun of the report sentence.
        label: the CT-RATE label that it makes positive, if any.
    """

    name: str
    hosts: tuple[str, ...]
    contrast_hu: tuple[float, float] | None
    density_hu: tuple[float, float] | None
    diameter_mm: tuple[float, float]
    roughness: float
    edge_mm: float
    texture_hu: float
    mass_effect: float
    words: str
    label: str = ""


def _tumour(name: str, hosts: tuple[str, ...], contrast_hu: tuple[float, float], diameter_mm: tuple[float, float], words: str) -> LesionKind:
    return LesionKind(name, hosts, contrast_hu, None, diameter_mm, roughness=0.18, edge_mm=2.5, texture_hu=8.0, mass_effect=0.5, words=words)


def _cyst(name: str, hosts: tuple[str, ...], density_hu: tuple[float, float], diameter_mm: tuple[float, float]) -> LesionKind:
    return LesionKind(name, hosts, None, density_hu, diameter_mm, roughness=0.04, edge_mm=1.0, texture_hu=0.0, mass_effect=0.4, words="cyst")


KINDS: dict[str, LesionKind] = {
    kind.name: kind
    for kind in (
        _tumour("liver_tumour", ("liver",), (-55, -20), (8, 60), "hypodense tumour-like lesion"),
        _cyst("liver_cyst", ("liver",), (-5, 15), (6, 50)),
        _tumour("kidney_tumour", ("kidney",), (-50, 20), (10, 55), "solid tumour-like lesion"),
        _cyst("kidney_cyst", ("kidney",), (-5, 18), (6, 45)),
        _tumour("pancreas_lesion", ("pancreas",), (-50, -15), (6, 30), "hypodense lesion"),
        _tumour("spleen_lesion", ("spleen",), (-60, -25), (6, 40), "hypodense lesion"),
        LesionKind("lung_nodule", ("lung",), None, (10, 60), (4, 30), 0.12, 1.0, 10.0, 0.1, "solid nodule", "Lung nodule"),
        LesionKind("lung_ground_glass_nodule", ("lung",), None, (-650, -450), (6, 30), 0.15, 2.5, 20.0, 0.0, "ground-glass nodule", "Lung nodule"),
    )
}


@dataclass(frozen=True)
class LesionPlan:
    """One lesion to insert; what is None is drawn.

    Args:
        kind: a name from `KINDS`.
        host: structure of the label map.
        diameter_mm: mean diameter.
        elongation: longest over shortest axis, 1 is round.
        attenuation_hu: of the lesion, absolute.
        centre_vox: z y x.
    """

    kind: str
    host: str
    diameter_mm: float
    elongation: float = 1.15
    attenuation_hu: float | None = None
    centre_vox: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        find_kind(self.kind)
        if not 2 <= self.diameter_mm <= 150:
            raise ConfigError("the diameter of a lesion is implausible", expected="2 to 150 mm", found=self.diameter_mm)
        if not 1 <= self.elongation <= 3:
            raise ConfigError("the elongation of a lesion is implausible", expected="1 to 3", found=self.elongation)


def find_kind(name: str) -> LesionKind:
    """A kind by name.

    Raises:
        ConfigError: there is none.
    """
    if name not in KINDS:
        raise ConfigError("no such kind of lesion", expected=", ".join(KINDS), found=name)
    return KINDS[name]
