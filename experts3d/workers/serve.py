"""Serve one handler over standard input and output: a JSON line in, a JSON line out, masks through files.

    PYTHON_OF_THE_EXPERT serve.py HANDLER.py

Needs the standard library only: it is run by the Python of the expert's environment, where vol3d is not installed. A handler file defines
`segment(scan_path, out_path, targets) -> {"names": {"1": "liver", ...}}`, which reads a NIfTI scan and writes a NIfTI label map.
"""

import importlib.util
import json
import os
import sys
import traceback
from typing import Any, TextIO


def main() -> int:
    """Answer requests until the input ends."""
    # Libraries print; whatever they print must not get between the answers. Their stdout becomes stderr, ours is a private copy.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    spec = importlib.util.spec_from_file_location("handler", sys.argv[1])
    if spec is None or spec.loader is None:
        sys.exit(f"no Python file: {sys.argv[1]}")
    handler = importlib.util.module_from_spec(spec)
    problem = None
    try:
        spec.loader.exec_module(handler)
    except BaseException as error:  # noqa: BLE001 - sys.exit in a library's import must become an answer
        problem = f"{type(error).__name__}: {error}"
    _answer(answers, {"id": 0, "status": "failed" if problem else "ready", "message": problem or ""})
    for line in sys.stdin:
        request = json.loads(line)
        _answer(answers, {"id": request["id"], **_run(handler, request)})
    return 0


def _run(handler: Any, request: dict) -> dict:
    try:
        facts = handler.segment(request["scan"], request["out"], request["targets"])
    except BaseException as error:  # noqa: BLE001 - sys.exit in a library must become an answer
        traceback.print_exc()
        return {"status": "failed", "message": f"{type(error).__name__}: {error}"}
    return {"status": "done", **facts}


def _answer(stream: TextIO, document: dict) -> None:
    stream.write(json.dumps(document) + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
