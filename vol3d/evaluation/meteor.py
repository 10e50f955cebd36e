"""METEOR under its two names, because their numbers differ by up to a factor of two (0.2 against 0.4 on the same reports).

`meteor_nltk` (Lavie and Agarwal 2007, as nltk computes it; what EXACT, M3D and Hugging Face's `evaluate` print) needs WordNet's files among nltk's data;
`meteor_coco` (version 1.5, the Java program inside pycocoevalcap; what CT-CHAT, BTB3D and VLM3D print) needs a Java runtime.
"""

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float

from vol3d.errors import ConfigError, MissingExtraError
from vol3d.evaluation.text_metrics import check_pairs, lower_words
from vol3d.extras import pip_command, require

_JAR = "meteor-1.5.jar"


class NltkMeteor:
    """nltk's METEOR on lower-case words.

    Args:
        wordnet: a WordNet reader of nltk; None: the one in nltk's data folders.

    Errors: MissingExtraError without nltk; ConfigError without WordNet, with what brings it.
    """

    def __init__(self, wordnet: Any = None) -> None:
        self._score = require("nltk.translate.meteor_score", extra="metrics").single_meteor_score
        self._wordnet = wordnet if wordnet is not None else _wordnet()

    def scores(self, references: Sequence[str], hypotheses: Sequence[str]) -> Float[np.ndarray, " n"]:
        """METEOR of each report."""
        check_pairs(references, hypotheses)
        pairs = zip(references, hypotheses, strict=True)
        return np.array([self._score(lower_words(r), lower_words(h), wordnet=self._wordnet) for r, h in pairs])


def _wordnet() -> Any:
    reader = require("nltk.corpus", extra="metrics").wordnet
    try:
        reader.ensure_loaded()
    except LookupError as error:
        raise ConfigError("WordNet is not among nltk's data", hint="Run: python -m nltk.downloader wordnet") from error
    return reader


class CocoMeteor:
    """METEOR 1.5 as the COCO tools run it; the program loads its tables for about a minute, so one serves all systems.

    Errors: MissingExtraError without pycocoevalcap; ConfigError without Java.
    """

    def __init__(self) -> None:
        spec = find_spec("pycocoevalcap")
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtraError("pycocoevalcap is not installed", hint=f"Run: {pip_command('meteor')} (it needs a Java runtime too)")
        java = shutil.which("java")
        if java is None:
            raise ConfigError("there is no Java runtime for METEOR 1.5", hint="Install one, such as Debian's default-jre-headless.")
        folder = Path(spec.submodule_search_locations[0]) / "meteor"
        command = [java, "-Xmx2G", "-jar", _JAR, "-", "-", "-stdio", "-l", "en", "-norm"]
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
        )

    def __enter__(self) -> "CocoMeteor":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the program."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.kill()
        self._process.wait()

    def scores(self, references: Sequence[str], hypotheses: Sequence[str]) -> tuple[float, Float[np.ndarray, " n"]]:
        """METEOR of the corpus, from the summed statistics as COCO does, and of each report."""
        check_pairs(references, hypotheses)
        statistics = [self._ask(f"SCORE ||| {_line(r)} ||| {_line(h)}") for r, h in zip(references, hypotheses, strict=True)]
        first = self._ask(" ||| ".join(["EVAL", *statistics]))
        values = [float(text) for text in (first, *(self._read() for _ in statistics))]
        return values[-1], np.array(values[:-1])

    def _ask(self, line: str) -> str:
        if self._process.stdin is None:
            raise ConfigError("METEOR was closed")
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise ConfigError("METEOR's Java program ended", hint="It needs 2 GB of memory and a Java runtime of version 8 or later.")
        return line.strip()


def _line(text: str) -> str:
    """One line without the separator of the protocol."""
    return " ".join(text.replace("|||", " ").split())
