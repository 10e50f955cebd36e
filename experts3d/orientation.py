"""From canonical order back to the order in which a scan is stored."""

import numpy as np
from jaxtyping import Shaped

from vol3d.volume.geometry import world_axes
from vol3d.volume.volume import Volume


def stored_order(canonical: Shaped[np.ndarray, "a b c"], volume: Volume) -> Shaped[np.ndarray, "z y x"]:
    """A canonical array in the order in which the scan is stored; the inverse of `to_canonical`."""
    axes = world_axes(volume.affine)
    flips = tuple(slice(None, None, -1) if volume.affine[world, axis] < 0 else slice(None) for axis, world in enumerate(axes))
    return np.ascontiguousarray(canonical.transpose([(2, 1, 0).index(world) for world in axes])[flips])
