"""Phantoms: procedural CT and MR scans with exact masks, a report and labels, all from one seed."""

from vol3d.volume.phantom.make import phantom_ct
from vol3d.volume.phantom.phantom import Lesion, Phantom

__all__ = ["Lesion", "Phantom", "phantom_ct"]
