"""What the README shows runs: its session, its commands, its files, its targets."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from vol3d.cli.main import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_session_prints_what_it_shows():
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False, encoding="utf-8")
    assert result.attempted > 10
    assert result.failed == 0


@pytest.mark.parametrize("line", sorted(set(re.findall(r"`(vol3d [a-z]+ [^`]*)`", README))))
def test_commands_parse(line):
    arguments = shlex.split(line)[1:]
    assert arguments[0] in COMMANDS
    if "--help" in arguments:
        return
    build_parser(arguments).parse_args(arguments)


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", README)) | set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))
    assert named
    assert named <= targets


def test_named_files_exist():
    paths = {path for path in re.findall(r"`([A-Za-z0-9_.]+(?:/[A-Za-z0-9_.]*)+)`", README) if not path.startswith("vol3d.")}
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path).exists()]
