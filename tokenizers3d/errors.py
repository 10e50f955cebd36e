"""The one way in which the toolkit refuses: what was expected, what was found, what to do.

`tokenizers3d` is the bottom of the import staircase, so the base class stands here and `vol3d.errors` builds on it.
"""

from pathlib import Path


class Vol3dError(Exception):
    """Base of all refusals; its text is one line that a user can act on.

    Args:
        problem: what is wrong, as a short clause.
        path: the file or folder it was found in.
        expected: what would have been accepted.
        found: what was there instead.
        hint: what the user can do.

    >>> str(Vol3dError("spacing is not positive", path="a.nii", expected="> 0 mm", found="0.0", hint="Fix pixdim."))
    'a.nii: spacing is not positive (expected > 0 mm, found 0.0). Fix pixdim.'
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str | Path | None = None,
        expected: object = None,
        found: object = None,
        hint: str | None = None,
    ) -> None:
        self.problem, self.path, self.expected, self.found, self.hint = problem, path, expected, found, hint
        super().__init__(problem)

    def __str__(self) -> str:
        prefix = f"{self.path}: " if self.path is not None else ""
        facts = [f"expected {self.expected}"] if self.expected is not None else []
        facts += [f"found {self.found}"] if self.found is not None else []
        middle = f" ({', '.join(facts)})" if facts else ""
        ending = f". {self.hint}" if self.hint else ""
        return " ".join(f"{prefix}{self.problem}{middle}{ending}".split())


class ShapeError(Vol3dError, ValueError):
    """A tensor has a shape, dtype or content that the operation cannot take."""


class CheckpointError(Vol3dError, ValueError):
    """Weights or tokens that are damaged, incomplete, or made by something else."""


class ResourceError(Vol3dError, RuntimeError):
    """Memory, disk or time would not suffice; says how much was needed."""


class ConfigError(Vol3dError, ValueError):
    """A recipe or an argument names something that does not exist or cannot work."""
