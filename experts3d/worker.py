"""An expert that lives in an environment of its own: a warm subprocess that gets a NIfTI file and gives a NIfTI label map back.

TotalSegmentator, nnU-Net and others bring pins and side effects (environment variables, `sys.exit`, printing) that must not reach this process. The
worker is started at the first call and kept warm; when it hangs, dies, fills the memory or writes nonsense, the call raises ExpertError with
the reason, nothing stays behind, and the next call starts a new one.
"""

import logging
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from experts3d.anatomy import group_unions, organ_unions, status_of
from experts3d.process import WatchedProcess
from vol3d.contracts import ExpertCard, LabelMap, Status
from vol3d.errors import ExpertError, Vol3dError
from vol3d.volume.geometry import require_same_grid
from vol3d.volume.read import read_mask
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

logger = logging.getLogger(__name__)

# The label map lies on the scan's own grid, which was accepted when the scan was read.
_ACCEPTED = ("implausible_extent", "implausible_spacing")


class WorkerExpert:
    """An expert behind a subprocess.

    Args:
        card: what it offers.
        python: Python of the expert's environment.
        handler: its handler file; a bare name is one of `experts3d/workers/`.
        timeout_seconds: how long one scan may take; the start has as long.
        memory_gb: how much the worker and its children may hold.
        environment: variables for the worker.

    """

    def __init__(
        self,
        card: ExpertCard,
        *,
        python: str | Path,
        handler: str | Path,
        timeout_seconds: float = 1800.0,
        memory_gb: float = 24.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._card, self._timeout, self._memory_gb, self._environment = card, timeout_seconds, memory_gb, environment
        folder = files("experts3d.workers")
        path = Path(str(handler)) if Path(handler).is_absolute() else Path(str(folder / str(handler)))
        if not path.is_file():
            raise ExpertError("the worker has no handler", path=path)
        self._command = [str(python), str(folder / "serve.py"), str(path)]
        self._process: WatchedProcess | None = None
        self._requests = 0

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        return self._card

    @property
    def peak_memory_gb(self) -> float:
        """The most that the running worker has been seen to hold."""
        return self._process.peak_bytes / 1e9 if self._process else 0.0

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Send a scan to the worker and check what comes back.

        Raises:
            ExpertError: the worker failed, hung, died, grew too large, or its label map does not fit the scan or the card.

        """
        wanted = tuple(targets) or self._card.targets
        with tempfile.TemporaryDirectory(prefix="vol3d-worker-") as folder:
            scan, out = Path(folder) / "scan.nii", Path(folder) / "labels.nii.gz"
            write_volume(volume, scan)
            answer = self._ask({"scan": str(scan), "out": str(out), "targets": list(wanted)})
            array, names = self._label_array(answer, out, volume)
        present = set(np.unique(array).tolist()) - {0}
        named, unions = organ_unions(names, present)
        unions = group_unions(named, unions)
        found = {name: status_of(name, named, unions, present) for name in wanted}
        statuses = {name: status for name, (status, _) in found.items()}
        unsought = "the worker did not look for it"
        reasons = {name: reason or unsought for name, (status, reason) in found.items() if reason or status is Status.NOT_COVERED}
        return LabelMap(array, volume.affine, named, volume.source, self._card.name, self._card.version, statuses, unions, reasons)

    def close(self) -> None:
        """End the worker; the next call starts a new one."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._started()
        self._requests += 1
        try:
            process.send({"id": self._requests, **request})
            answer = process.receive(timeout_seconds=self._timeout)
        except ExpertError:
            self._process = None
            raise
        if answer.get("id") != self._requests:
            self.close()
            raise ExpertError("the worker answered another request", expected=self._requests, found=answer.get("id"))
        if answer.get("status") != "done":
            raise ExpertError(f"{self._card.name} failed in its worker", found=str(answer.get("message", ""))[:400])
        return answer

    def _started(self) -> WatchedProcess:
        if self._process is not None and self._process.alive:
            return self._process
        self.close()
        process = WatchedProcess(self._command, memory_gb=self._memory_gb, environment=self._environment)
        weakref.finalize(self, process.close)
        greeting = process.receive(timeout_seconds=self._timeout)
        if greeting.get("status") != "ready":
            process.close()
            raise ExpertError(f"{self._card.name} does not start in its environment", found=str(greeting.get("message", greeting))[:400])
        self._process = process
        return process

    def _label_array(self, answer: Mapping[str, Any], out: Path, volume: Volume) -> tuple[np.ndarray, dict[int, str]]:
        names = answer.get("names")
        if not isinstance(names, dict) or not all(str(i).isdecimal() and isinstance(name, str) for i, name in names.items()):
            raise ExpertError("the worker did not say what its labels mean", found=repr(names)[:200])
        table = {int(i): name for i, name in names.items()}
        if not out.is_file():
            raise ExpertError("the worker wrote no label map")
        try:
            mask = read_mask(out, accept=_ACCEPTED)
            require_same_grid(volume.shape, volume.affine, mask.shape, mask.affine)
        except Vol3dError as error:
            raise ExpertError("the worker's label map cannot be used", hint=str(error)) from error
        array = mask.numpy()
        strange = sorted(set(np.unique(array).tolist()) - {0} - set(table))
        if strange:
            raise ExpertError("the worker's label map holds labels without a name", found=", ".join(map(str, strange[:8])))
        return array, table
