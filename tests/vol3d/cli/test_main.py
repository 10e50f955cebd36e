"""Exit codes, one line on stderr, nothing but JSON on stdout: what scripts rely on."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from vol3d.cli import main as cli
from vol3d.errors import GeometryError

CLI_FOLDER = Path(cli.__file__).parent


def vol3d(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "vol3d", *arguments], capture_output=True, text=True, timeout=120, **options)


@pytest.fixture
def command(monkeypatch):
    """Installs a command `probe` whose `run` is the given function."""

    def install(run):
        module = ModuleType("vol3d.cli.probe")
        module.SUMMARY, module.EXAMPLE = "a command of this test", "vol3d probe"
        module.add_arguments, module.run = (lambda parser: parser.add_argument("--json", action="store_true")), run
        monkeypatch.setitem(sys.modules, "vol3d.cli.probe", module)
        monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, "probe"))

    return install


def raiser(error):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (GeometryError("spacing is zero", path="a.nii", hint="Fix it."), 2, "vol3d probe: a.nii: spacing is zero. Fix it."),
        (FileNotFoundError(2, "No such file or directory", "b.nii"), 2, "vol3d probe: b.nii: No such file or directory"),
        (OSError("disk\nfull"), 2, "vol3d probe: disk full"),
        (KeyError("x"), 1, "vol3d probe: unexpected KeyError: 'x'. Set VOL3D_DEBUG=1 to see where."),
        (MemoryError(), 1, "vol3d probe: unexpected MemoryError: MemoryError. Set VOL3D_DEBUG=1 to see where."),
        (KeyboardInterrupt(), 130, "vol3d probe: interrupted"),
    ],
)
def test_every_failure_is_one_line_and_a_code(command, capsys, error, code, line):
    command(raiser(error))
    assert cli.main(["probe"]) == code
    captured = capsys.readouterr()
    assert captured.err == line + "\n"
    assert captured.out == ""


def test_debug_shows_the_traceback(command, capsys, monkeypatch):
    monkeypatch.setenv("VOL3D_DEBUG", "1")
    command(raiser(KeyError("x")))
    assert cli.main(["probe"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["doctor", "--no-such-flag"], ["--no-such-flag"]])
def test_usage_errors_are_one_line(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--help" in error


def test_the_list_of_commands_is_the_list_of_files():
    # `evaluate_vqa.py` and its like are branches of `evaluate`, which lists them.
    files = {path.stem for path in CLI_FOLDER.glob("*.py") if "\nSUMMARY = " in path.read_text()}
    commands = {name for name in files if name.split("_")[0] not in files - {name}}
    assert set(cli.COMMANDS) == commands
    assert len(cli.COMMANDS) == len(commands)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_shows_an_example_that_parses(capsys, name):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    example = import_module(f"vol3d.cli.{name}").EXAMPLE
    assert " ".join(example.split()) in " ".join(capsys.readouterr().out.split())


def test_help_and_version_do_not_import_torch():
    code = "import sys\nfrom vol3d.cli.main import build_parser\nbuild_parser().format_help()\nprint('torch' in sys.modules, 'monai' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == ["False", "False"]


def test_version_is_the_package_version():
    from vol3d import __version__

    assert vol3d("--version").stdout == f"vol3d {__version__}\n"


def test_doctor_prints_one_json_document_and_nothing_else():
    result = vol3d("doctor", "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    checks = json.loads(result.stdout)["checks"]
    names = {check["name"] for check in checks}
    assert {"python", "torch", "threads", "gpu", "sdpa", "dicom", "cache folder"} <= names
    assert all(check["status"] == "ok" or check["hint"] for check in checks), "what is missing comes with a way to get it"


def test_a_reader_that_leaves_is_no_failure():
    command = [sys.executable, "-m", "vol3d", "doctor", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 141
