"""One Python environment per foreign expert, beside each other in the user's cache folder; made by `vol3d experts install NAME`."""

import shutil
import subprocess
import sys
from pathlib import Path

from vol3d.cache import cache_folder
from vol3d.errors import ConfigError, ExpertError

# Versions whose calling conventions the handlers were written against.
PACKAGES: dict[str, tuple[str, ...]] = {
    "totalsegmentator": ("TotalSegmentator==2.18.0",),
    "lungmask": ("lungmask==0.2.22",),
    "nnunet": ("nnunetv2==2.8.1",),
    "voxtell": ("voxtell==0.1.2",),
}


def environment_python(expert: str) -> Path:
    """The Python of an expert's environment, there or not.

    >>> environment_python("lungmask").parts[-3:]
    ('lungmask', 'bin', 'python')
    """
    folder = cache_folder() / "environments" / expert
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


def has_environment(expert: str) -> bool:
    """Whether the expert's environment was made."""
    return environment_python(expert).is_file()


def install(expert: str, *, packages: tuple[str, ...] | None = None) -> Path:
    """Make an expert's environment with pip; one that fails to install leaves nothing behind.

    Args:
        expert: a name of `PACKAGES`.
        packages: what pip installs instead of the pinned package.

    Raises:
        ConfigError: the expert needs no environment of its own.
        ExpertError: pip failed, with what it said last.

    """
    if expert not in PACKAGES:
        raise ConfigError("this expert has no environment to install", expected=", ".join(PACKAGES), found=expert)
    python = environment_python(expert)
    folder = python.parents[1]
    commands = [[sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", *(packages or PACKAGES[expert])]]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-2:])
            raise ExpertError(f"the environment of {expert} could not be made", found=last[-300:], hint="Check the network, then try again.")
    return python
