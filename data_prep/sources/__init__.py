"""Corpora by name. A new one is a file here with a `Source`, and a line in the table below."""

from importlib import import_module

from data_prep.item import Source
from vol3d.errors import ConfigError

# name -> module of this folder that holds its `SOURCE`
SOURCES = {
    "ct_rate": "ct_rate",
    "rad_chestct": "rad_chestct",
    "merlin": "merlin",
    "m3d_cap": "m3d_cap",
    "deeptumorvqa": "deeptumorvqa",
    "mask_folder": "mask_folder",
    "brats": "brats",
    "nifti_csv": "nifti_csv",
    "dicom_folder": "dicom_folder",
    "phantom": "phantom",
    "synthetic_lesions": "synthetic_lesions",
}


def find_source(name: str) -> Source:
    """A corpus by name.

    Raises:
        ConfigError: none has this name.
    """
    if name not in SOURCES:
        raise ConfigError("no such corpus", expected=", ".join(SOURCES), found=name)
    source: Source = import_module(f"data_prep.sources.{SOURCES[name]}").SOURCE
    return source
