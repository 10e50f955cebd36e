"""A child process that answers JSON lines, watched: time, memory, end. Whatever happens, it and its children are gone afterwards."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from vol3d.errors import ExpertError

_LOOK_EVERY_SECONDS = 0.1
_LONGEST_LINE = 1 << 20
_TAIL_BYTES = 4000
# Secrets of the parent are no business of a foreign program; it gets what programs need to start.
_PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HOME", "LD_LIBRARY_PATH", "SYSTEMROOT",
    "XDG_CACHE_HOME", "TOTALSEG_HOME_DIR", "TOTALSEG_WEIGHTS_PATH",
)  # fmt: skip


class WatchedProcess:
    """Start a command and talk to it.

    Args:
        command: program and arguments.
        memory_gb: end the process (with its children) when it holds more than this.
        environment: variables that it gets besides the few that every program needs.

    """

    def __init__(self, command: Sequence[str], *, memory_gb: float, environment: Mapping[str, str] | None = None) -> None:
        self._memory_bytes = int(memory_gb * 1e9)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self.peak_bytes = 0
        self._closed = False
        # Unbuffered: the last words of a program that is killed are what one wants to read.
        variables = {"PYTHONUNBUFFERED": "1"} | {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | dict(environment or {})
        try:
            self._child = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, env=variables, start_new_session=True
            )
        except OSError as error:
            self._stderr.close()
            raise ExpertError("the worker cannot be started", path=command[0], found=error.strerror, hint="Run: vol3d experts list") from error
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._child.poll() is None

    def send(self, document: Mapping[str, Any]) -> None:
        """Write one JSON line."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(document).encode() + b"\n")
            self._child.stdin.flush()
        except OSError as error:
            raise self._failure("the worker has ended") from error

    def receive(self, *, timeout_seconds: float) -> dict[str, Any]:
        """The next JSON line.

        Raises:
            ExpertError: it did not come in time, is no JSON object, or the process ended or grew too large; the process is then gone.

        """
        end = time.monotonic() + timeout_seconds
        while True:
            try:
                line = self._lines.get(timeout=_LOOK_EVERY_SECONDS)
            except queue.Empty:
                self._look(end, timeout_seconds)
                continue
            if line is None:
                raise self._failure("the worker ended before it answered")
            try:
                document = json.loads(line)
            except ValueError:
                document = None
            if not isinstance(document, dict):
                raise self._failure("the worker's answer is no JSON object", found=repr(line[:80]))
            return document

    def close(self) -> None:
        """End the process and all that it started; a second call does nothing, because the number may be another program's by then."""
        if self._closed:
            return
        self._closed = True
        children = self._family()
        # The group outlives its leader as long as a child of it runs.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        self._child.wait(timeout=10)
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._stderr.close()

    def _look(self, end: float, timeout_seconds: float) -> None:
        held = sum(_resident(process) for process in self._family())
        self.peak_bytes = max(self.peak_bytes, held)
        if held > self._memory_bytes:
            raise self._failure("the worker took too much memory", expected=f"up to {self._memory_bytes / 1e9:.1f} GB", found=f"{held / 1e9:.1f} GB")
        if time.monotonic() > end:
            raise self._failure("the worker did not answer in time", expected=f"an answer within {timeout_seconds:.0f} s")

    def _failure(self, problem: str, **facts: object) -> ExpertError:
        """End the process, and the error that tells what it said last."""
        code = self._child.poll()
        tail = self._tail()
        self.close()
        if code is None and self._child.returncode is not None and "ended" in problem:
            code = self._child.returncode
        how = f" (exit code {code})" if code is not None else ""
        hint = f"It last said: {tail}" if tail else None
        return ExpertError(f"{problem}{how}", hint=hint, **facts)  # type: ignore[arg-type]

    def _tail(self) -> str:
        size = os.fstat(self._stderr.fileno()).st_size
        self._stderr.seek(max(0, size - _TAIL_BYTES))
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        self._stderr.seek(0, os.SEEK_END)
        return " | ".join(lines[-3:])[-400:]

    def _family(self) -> list[psutil.Process]:
        if self._child.returncode is not None:
            return []
        try:
            parent = psutil.Process(self._child.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.Error:
            return []

    def _read(self) -> None:
        assert self._child.stdout is not None
        stream = self._child.stdout
        while True:
            try:
                line = stream.readline(_LONGEST_LINE)
            except (OSError, ValueError):
                line = b""
            if not line:
                self._lines.put(None)
                return
            self._lines.put(line)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
