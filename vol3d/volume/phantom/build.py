"""Build: what is drawn once per patient (size, sex-like build, pose, contrast, habitus), and named random streams."""

import zlib
from dataclasses import dataclass

import numpy as np

from vol3d.volume.phantom.canvas import Warp
from vol3d.volume.phantom.shapes import rotation_xyz


def stream(seed: int, name: str) -> np.random.Generator:
    """An independent generator per purpose, so that a new draw in one place changes nothing elsewhere."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@dataclass(frozen=True)
class Build:
    """One patient's parameters.

    `fat_mm` is the thickness of subcutaneous fat at the flank, `phase` one of `native`, `portal`, `arterial`,
    `heart_scale` over 1.15 is an enlarged heart.
    """

    seed: int
    sex: str
    age: int
    scale: tuple[float, float, float]
    fat_mm: float
    phase: str
    heart_scale: float
    tilt_deg: tuple[float, float, float]
    shift_mm: tuple[float, float, float]
    table: bool

    @property
    def contrast(self) -> bool:
        """Whether iodine was given."""
        return self.phase != "native"

    def rng(self, name: str) -> np.random.Generator:
        """The stream of one structure."""
        return stream(self.seed, name)

    def jitter(self, name: str, centre: float = 4.0, size: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
        """Offset (mm, x y z) and factors of size (x y z) of one organ."""
        rng = self.rng("jitter/" + name)
        return rng.normal(0, centre / 2, 3).clip(-centre, centre), 1 + rng.normal(0, size / 2, 3).clip(-size, size)


def draw_build(seed: int) -> Build:
    """Draw a patient."""
    rng = stream(seed, "build")
    sex = ("female", "male")[int(rng.integers(2))]
    size = 1.0 + float(rng.normal(0, 0.04)) + (0.03 if sex == "male" else -0.04)
    scale = tuple(float(np.clip(size * (1 + rng.normal(0, 0.025)), 0.85, 1.13)) for _ in range(3))
    fat = float(np.clip(rng.gamma(4.0, 4.0), 5, 38))
    phase = str(rng.choice(["native", "portal", "arterial"], p=[0.4, 0.4, 0.2]))
    enlarged = rng.random() < 0.16
    heart = float(rng.uniform(1.19, 1.3) if enlarged else np.clip(rng.normal(1.0, 0.045), 0.9, 1.08))
    return Build(
        seed=seed,
        sex=sex,
        age=int(rng.integers(25, 89)),
        scale=scale,  # type: ignore[arg-type]
        fat_mm=fat,
        phase=phase,
        heart_scale=heart,
        tilt_deg=tuple(float(v) for v in rng.normal(0, (2.0, 1.5, 2.5)).clip(-6, 6)),  # type: ignore[arg-type]
        shift_mm=tuple(float(v) for v in rng.normal(0, (4.0, 6.0, 0.0)).clip(-12, 12)),  # type: ignore[arg-type]
        table=bool(rng.random() < 0.7),
    )


def draw_warp(build: Build, *, amplitude_mm: float = 3.2, wavelength_mm: tuple[float, float] = (160.0, 360.0)) -> Warp:
    """Pose, size and a smooth deformation of a few millimetres."""
    rng = build.rng("warp")
    frequency = 2 * np.pi / rng.uniform(*wavelength_mm, (3, 2, 3))
    return Warp(
        rotation=rotation_xyz(build.tilt_deg),
        shift_mm=np.array(build.shift_mm),
        scale=np.array(build.scale),
        amplitude_mm=rng.uniform(0.3, 1.0, (3, 2)) * amplitude_mm * rng.choice([-1.0, 1.0], (3, 2)),
        frequency=frequency,
        phase=rng.uniform(0, 2 * np.pi, (3, 2, 3)),
    )
