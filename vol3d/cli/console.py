"""What commands show: tables within 100 columns, one JSON document, progress on stderr, paths that are safe to print."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

WIDTH = 100


def print_json(document: Any) -> None:
    """Print one JSON document on stdout: pydantic models, dataclass-free containers, no NaN.

    >>> print_json({"value": 1.5, "shape": (2, 3)})
    {"value": 1.5, "shape": [2, 3]}
    """
    print(json.dumps(document, default=_plain, ensure_ascii=False, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """Print rows under column names; numbers to the right, nothing wider than 100 columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(format_cell(cell)) for cell in row))
    console = Console(file=sys.stdout, highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    console.print(table)


def format_cell(value: object) -> str:
    """A value as a table shows it.

    >>> [format_cell(v) for v in (None, 12.3456, 0.0123, True, (1.0, 2.5))]
    ['', '12.3', '0.0123', 'yes', '1, 2.5']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
    if isinstance(value, tuple | list):
        return ", ".join(format_cell(item) for item in value)
    return str(value)


@contextlib.contextmanager
def progress(description: str, *, total: int | None = None) -> Iterator[Callable[[int, str], None]]:
    """A bar on stderr while the block runs; yields `advance(steps, note)`. Silent where stderr is not a terminal.

    >>> with progress("Reading", total=2) as advance:
    ...     advance(1, "a.nii.gz")
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr, highlight=False)
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
    columns += [BarColumn(bar_width=24), MofNCompleteColumn()] if total is not None else []
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(description, total=total)

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, description=f"{description} {note}".strip()[:60])

        yield advance


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Keep what a library prints out of our JSON: inside the block, stdout is stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def measurement_rows(measurements: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Measurements (dumped) as table rows: structure, component, name, value, unit, status."""
    return [(m["structure"], m["component"] or "all", m["name"], m["value"], m["unit"], str(m["status"])) for m in measurements]


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
