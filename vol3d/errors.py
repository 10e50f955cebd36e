"""All refusals of the toolkit, in one place to import from. Command line: each of them is exit code 2 and one line."""

from tokenizers3d.errors import CheckpointError, ConfigError, ResourceError, ShapeError, Vol3dError

__all__ = [
    "ArchiveError",
    "CheckpointError",
    "ConfigError",
    "ExpertError",
    "GeometryError",
    "IntensityError",
    "MissingExtraError",
    "ResourceError",
    "ShapeError",
    "TrainingError",
    "Vol3dError",
    "VolumeError",
]


class VolumeError(Vol3dError, ValueError):
    """A file is not a readable volume: damaged, truncated, of another kind, or it lies about itself."""


class GeometryError(Vol3dError, ValueError):
    """An affine, a spacing or a pair of grids that cannot be trusted."""


class IntensityError(Vol3dError, ValueError):
    """Voxel values that are not what the modality promises: NaN, not HU, rescaled twice, constant."""


class ArchiveError(Vol3dError, ValueError):
    """An archive that would leave its folder, or unpack to more than it may."""


class ExpertError(Vol3dError, RuntimeError):
    """An expert that cannot do what was asked, or that failed while doing it."""


class MissingExtraError(Vol3dError, ImportError):  # type: ignore[misc]  # both have a `path`: ours is what could not be read
    """A feature whose optional dependency is not installed; the text holds the pip command that brings it."""


class TrainingError(Vol3dError, RuntimeError):
    """Training that must not go on: a loss or gradient that is not finite, a resumed run that is not the one that was saved."""
