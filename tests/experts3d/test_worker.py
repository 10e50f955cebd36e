"""Workers that work, and workers that hang, die, fill the memory or write nonsense: the answer says so and nothing stays behind."""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from experts3d.panel import Panel
from experts3d.worker import WorkerExpert
from tests.experts3d.scenes import scan_of
from vol3d.contracts import ExpertCall, ExpertCard, Status
from vol3d.errors import ExpertError

GOOD = """
import os, sys, time
import numpy as np, nibabel as nib
print("a library that talks on stdout")

def segment(scan_path, out_path, targets):
    print("working on", targets)
    scan = nib.load(scan_path)
    data = np.asarray(scan.dataobj)
    nib.save(nib.Nifti1Image((data > 50).astype(np.uint8), scan.affine), out_path)
    return {"names": {"1": "liver", "2": "spleen"}, "pid": os.getpid()}
"""
CARD = ExpertCard(
    name="worker", version="1", modalities=("CT",), summary="", targets=("liver", "spleen", "heart"), arguments=("liver", "spleen", "heart"), cost="",
    licence="", commercial_use=True, weights="",
)  # fmt: skip
SCAN = scan_of(np.random.default_rng(0).integers(0, 100, (8, 30, 40)).astype(np.int16), (3.0, 1.0, 1.0))


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a worker from a handler's text; afterwards no process and no file of it is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    made: list[WorkerExpert] = []

    def make(text: str, **options: float) -> WorkerExpert:
        handler = tmp_path / f"handler_{len(made)}.py"
        handler.write_text(text)
        made.append(WorkerExpert(CARD, python=sys.executable, handler=handler, **({"timeout_seconds": 60.0} | options)))
        return made[-1]

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield make
    for expert in made:
        expert.close()
    left = {child.pid for child in psutil.Process().children(recursive=True)} - before
    assert not left
    assert not list((tmp_path / "tmp").iterdir())


def test_masks_come_back_on_the_scans_grid_and_the_worker_stays_warm(worker):
    expert = worker(GOOD)
    first = expert.segment(SCAN)
    process = expert._process
    second = expert.segment(SCAN, ["liver"])
    assert (first.array == (SCAN.numpy() > 50)).all()
    assert first.statuses == {"liver": Status.FOUND, "spleen": Status.ABSENT, "heart": Status.NOT_COVERED}
    assert second.statuses == {"liver": Status.FOUND}
    assert expert._process is process


def test_a_scan_in_another_orientation_keeps_it(worker):
    from tests.experts3d.scenes import stored_as

    turned, array = stored_as(SCAN, (SCAN.numpy() > 50).astype(np.uint8), (1, 0, 1), (1, 2, 0))
    assert (worker(GOOD).segment(turned).array == array).all()


BROKEN = {
    "raises": ("def segment(scan_path, out_path, targets):\n    raise RuntimeError('no weights')\n", "no weights"),
    "exits": ("import sys\ndef segment(scan_path, out_path, targets):\n    sys.exit(3)\n", "SystemExit: 3"),
    "dies": ("import os\ndef segment(scan_path, out_path, targets):\n    print('last words'); os.abort()\n", "last words"),
    "does not import": ("import a_package_that_is_not_there\n", "a_package_that_is_not_there"),
    "exits on import": ("import sys\nsys.exit('licence missing')\n", "licence missing"),
    "writes nothing": ("def segment(scan_path, out_path, targets):\n    return {'names': {'1': 'liver'}}\n", "wrote no label map"),
    "names nothing": ("def segment(scan_path, out_path, targets):\n    return {}\n", "what its labels mean"),
    "writes nonsense": ("def segment(scan_path, out_path, targets):\n    open(out_path, 'wb').write(b'nonsense')\n    return {'names': {'1': 'liver'}}\n", "cannot be used"),
    "another grid": (GOOD.replace("scan.affine)", "scan.affine + 5)"), "cannot be used"),
    "unnamed labels": (GOOD.replace("(data > 50)", "7 * (data > 50)"), "labels without a name"),
    "says nonsense": ("import os\ndef segment(scan_path, out_path, targets):\n    for fd in range(3, 20):\n        try: os.write(fd, b'gibberish\\n')\n        except OSError: pass\n", "no JSON object"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(BROKEN))
def test_a_broken_worker_is_a_failure_with_its_reason(worker, kind: str):
    text, says = BROKEN[kind]
    expert = worker(text)
    with pytest.raises(ExpertError) as caught:
        expert.segment(SCAN)
    assert says in str(caught.value)


def test_a_worker_that_hangs_is_ended(worker):
    expert = worker("import time\ndef segment(scan_path, out_path, targets):\n    time.sleep(600)\n", timeout_seconds=4.0)
    with pytest.raises(ExpertError, match="did not answer in time"):
        expert.segment(SCAN)


def test_a_worker_that_fills_the_memory_is_ended_with_its_children(worker):
    text = """
import subprocess, sys
def segment(scan_path, out_path, targets):
    subprocess.run([sys.executable, "-c", "held = bytearray(600_000_000)\\nwhile True: held[::4096] = b'x' * len(held[::4096])"])
"""
    expert = worker(text, memory_gb=0.2)
    with pytest.raises(ExpertError, match="too much memory"):
        expert.segment(SCAN)


def test_a_worker_killed_in_the_middle_fails_and_the_next_call_works(worker, tmp_path: Path):
    mark = tmp_path / "killed_once"
    text = GOOD.replace(
        "    scan = nib.load(scan_path)",
        f"    if not os.path.exists({str(mark)!r}):\n        open({str(mark)!r}, 'w').close()\n        time.sleep(600)\n    scan = nib.load(scan_path)",
    )
    expert = worker(text)
    panel = Panel([expert])

    import threading

    def kill() -> None:
        end = time.monotonic() + 50
        while not mark.exists() and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(expert._process._child.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    failed = panel.gather(SCAN, ExpertCall("worker", ("liver",)))
    killer.join()
    assert failed.statuses == {"liver": Status.FAILED}
    assert "exit code -9" in failed.sentences[0].text
    again = panel.gather(SCAN, ExpertCall("worker", ("liver",)))
    assert again.statuses["liver"] is Status.FOUND


def test_secrets_of_the_parent_do_not_reach_a_worker(worker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    text = "import os\ndef segment(scan_path, out_path, targets):\n    raise RuntimeError(str(os.environ.get('HF_TOKEN')))\n"
    with pytest.raises(ExpertError, match="RuntimeError: None"):
        worker(text).segment(SCAN)


def test_a_python_that_is_not_there_is_said(tmp_path: Path):
    handler = tmp_path / "h.py"
    handler.write_text(GOOD)
    with pytest.raises(ExpertError, match="cannot be started"):
        WorkerExpert(CARD, python=tmp_path / "no_python", handler=handler).segment(SCAN)
    with pytest.raises(ExpertError, match="no handler"):
        WorkerExpert(CARD, python=sys.executable, handler="nobody.py")
