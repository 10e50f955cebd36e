"""`vol3d COMMAND ...`: finds the command's file, runs it, and turns what goes wrong into one line and an exit code.

Exit codes: 0 done; 2 bad input or usage; 1 anything else; 130 interrupted; 141 nobody reads our output any more.
A command is a file of this folder with `SUMMARY`, `EXAMPLE`, `add_arguments(parser)` and `run(args) -> int`.
"""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from vol3d import __version__
from vol3d.contracts import DISCLAIMER
from vol3d.errors import Vol3dError

# In the order in which `vol3d --help` shows them; a new command file is added here.
COMMANDS = ("demo", "info", "ask", "report", "segment", "measure", "experts", "encode", "decode", "questions", "prep", "train", "evaluate", "doctor")


class _Parser(argparse.ArgumentParser):
    """argparse that refuses in one line, without the usage block."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See '{self.prog} --help'.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    >>> main(["doctor", "--json"]) == 0  # doctest: +SKIP
    True
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = next((f" {word}" for word in arguments[:1] if word in COMMANDS), "")
    _quieten_libraries()
    try:
        return _run(arguments)
    except BrokenPipeError:
        _drop_stdout()
        return 141
    except KeyboardInterrupt:
        return _refuse(name, "interrupted", 130)
    except (Vol3dError, OSError) as error:
        return _refuse(name, _one_line(error), 2)
    except Exception as error:  # noqa: BLE001 - the last line of defence: nobody above prints for us
        hint = "Set VOL3D_DEBUG=1 to see where."
        return _refuse(name, f"unexpected {type(error).__name__}: {_one_line(error)}. {hint}", 1)


def _run(arguments: Sequence[str]) -> int:
    try:
        args = build_parser(arguments).parse_args(arguments)
        return int(import_module(f"vol3d.cli.{args.command}").run(args))
    finally:
        sys.stdout.flush()  # here, where a reader that left can still be told apart from a failure


def build_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of the command that `arguments` names, or of all commands where they name none.

    Only the command that runs is imported, so that a slow or broken one cannot stop the others.
    """
    parser = _Parser(
        prog="vol3d",
        description=f"Vision-language models on CT and MRI volumes. {DISCLAIMER}",
        epilog="vol3d COMMAND --help shows the arguments and an example. Environment: VOL3D_DEBUG=1 shows tracebacks and logs.",
    )
    parser.add_argument("--version", action="version", version=f"vol3d {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    named = [name for name in arguments[:1] if name in COMMANDS]
    for name in named or COMMANDS:
        _add_command(commands, name, import_module(f"vol3d.cli.{name}"))
    return parser


def _add_command(commands: "argparse._SubParsersAction[_Parser]", name: str, module: ModuleType) -> None:
    subparser = commands.add_parser(
        name,
        help=module.SUMMARY,
        description=module.SUMMARY,
        epilog=f"example:\n  {module.EXAMPLE.strip()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(subparser)


def _quieten_libraries() -> None:
    """Keep stderr for our own words: a refusal is one line there, and scripts read it."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
    if _debug():
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
        return
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR, format="vol3d: %(message)s")
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # it brings its own handler


def _refuse(name: str, text: str, code: int) -> int:
    if _debug():
        import traceback

        traceback.print_exc()
    print(f"vol3d{name}: {text}", file=sys.stderr)
    return code


def _drop_stdout() -> None:
    """The reader (`head`) left. Python would complain once more when it flushes at exit: give it a sink."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _debug() -> bool:
    return os.environ.get("VOL3D_DEBUG", "") not in ("", "0")


if __name__ == "__main__":
    sys.exit(main())
