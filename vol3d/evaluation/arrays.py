"""Features and tables that other programs saved: NPZ and NPY without pickles, checked."""

import zipfile
from pathlib import Path

import numpy as np

from vol3d.errors import ConfigError


def load_array(path: str | Path, key: str | None = None) -> np.ndarray:
    """One array of a NPY file, or of a NPZ file by key (its only one when None); pickled objects are refused.

    Errors: ConfigError names the keys that are there.
    """
    try:
        loaded = np.load(Path(path), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = list(loaded.files)
            if key is None and len(names) == 1:
                key = names[0]
            if key not in names:
                raise ConfigError("no such array in the file", path=path, expected=key or "one array", found=", ".join(names))
            return np.asarray(loaded[key])
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"not a readable NPY or NPZ file: {error}", path=path, expected="arrays of numbers or text, no objects") from error


def array_keys(path: str | Path) -> tuple[str, ...]:
    """Names of the arrays of a NPZ file; none of a NPY file."""
    try:
        with zipfile.ZipFile(Path(path)) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except zipfile.BadZipFile:
        return ()
