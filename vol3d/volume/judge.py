"""What a reader may do with a doubt: note it, or refuse it unless the user accepted this very kind of doubt by its code."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NoReturn

from vol3d.errors import ConfigError, ResourceError, Vol3dError
from vol3d.volume.volume import Notice

# Refusals that a user may overrule, because the reader can be wrong about them; everything else is damage and stays refused.
ACCEPTABLE = {
    "implausible_spacing": "voxels under 0.05 mm or over 20 mm",
    "implausible_extent": "a field of view under 2 cm or over 3 m",
    "qform_sform_disagree": "two transforms in one header (the sform is then used)",
    "pixdim_disagree": "pixdim and transform give different spacings (the transform is then used)",
    "constant": "all voxels have one value",
    "rescaled_twice": "CT that looks as if slope and intercept had been applied twice",
    "not_hu": "values that are not Hounsfield units although the scan is called CT",
    "bad_rescale": "slope or intercept are not finite numbers (stored values are then used as they are)",
}

# 2^31 voxels hold 1024 x 1024 x 2048: more than any scanner's series, less than a header that lies.
MAX_VOXELS = 2**31


@dataclass
class Judge:
    """Collects the notices of one file and raises its refusals, always with the file's name.

    >>> judge = Judge("a.nii", accept=("constant",))
    >>> judge.refuse_unless_accepted(ConfigError, "constant", "all voxels are 0")
    >>> judge.notices[0].code
    'constant'
    """

    path: str
    accept: Collection[str] = ()
    notices: list[Notice] = field(default_factory=list)

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.accept) - set(ACCEPTABLE)):
            raise ConfigError("this cannot be accepted", expected=f"any of {', '.join(ACCEPTABLE)}", found=", ".join(unknown))

    def note(self, code: str, message: str) -> None:
        """Remember something that was accepted; once per code."""
        if all(notice.code != code for notice in self.notices):
            self.notices.append(Notice(code, message))

    def refuse(self, kind: type[Vol3dError], problem: str, *, hint: str, expected: object = None, found: object = None) -> NoReturn:
        """Raise, with the path; there is always something that the user can do."""
        raise kind(problem, path=self.path, expected=expected, found=found, hint=hint)

    def refuse_unless_accepted(
        self, kind: type[Vol3dError], code: str, problem: str, *, expected: object = None, found: object = None, hint: str = ""
    ) -> None:
        """Raise, or note it where the user has accepted `code`."""
        if code in self.accept:
            facts = f" (expected {expected}, found {found})" if found is not None else ""
            self.note(code, f"{problem}{facts}; accepted on request")
            return
        hint = f"{hint} If it is right as it is, accept it with --accept {code}.".strip()
        self.refuse(kind, problem, expected=expected, found=found, hint=hint)

    def require_budget(self, shape: tuple[int, ...], itemsize: int, max_voxels: int) -> None:
        """Refuse before anything is allocated: more voxels than allowed, or more bytes than this machine has free."""
        voxels = 1
        for size in shape:
            voxels *= int(size)
        if voxels > max_voxels:
            self.refuse(
                ResourceError,
                f"the header declares {'x'.join(map(str, shape))} voxels",
                expected=f"at most {max_voxels}",
                found=voxels,
                hint="The header is likely wrong; if not, raise max_voxels.",
            )
        free = _available_bytes()
        if voxels * itemsize > free:
            self.refuse(
                ResourceError,
                "the scan does not fit into memory",
                expected=f"at most {free / 1e9:.1f} GB",
                found=f"{voxels * itemsize / 1e9:.1f} GB",
                hint="Use a machine with more memory, or crop or resample the scan first.",
            )


def _available_bytes() -> int:
    """Free memory as the system states it; without a statement, all of it."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
