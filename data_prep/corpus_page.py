"""A page about a prepared corpus: counts against what was expected, what was refused, spacing, field of view, values, presets."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.convert import Record, read_record
from data_prep.tables import read_json
from vol3d.contracts import DISCLAIMER, Row
from vol3d.page.html import Html, element, join
from vol3d.volume.atomic import atomic_path
from vol3d.volume.manifest import read_manifest, read_table

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;margin:.5rem 0}td,th{border-bottom:1px solid #d0d7de;padding:.2rem .8rem;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}.note{color:#57606a}"
)
_SHOWN = 200
_TRUNCATED = 0.01


def write_page(store: str | Path, *, name: str = "report.html") -> Path:
    """Write the page into the store; one file, no outside resources."""
    store = Path(store)
    rows = read_manifest(store)
    records = [r for r in (read_record(store / "records" / f"{row.series}.json") for row in rows) if r is not None]
    card = read_json(store / "corpus.json")
    quarantine = read_table(store / "quarantine.parquet")
    body = [
        element("h1", f"Corpus: {card['title']}"),
        element("p", f"Licence: {card['licence']}. {card['citation']}"),
        _counts(card, rows),
        _quarantine(quarantine),
        *([_figures(rows, records), _presets(records), _values(records), _labels(rows)] if rows else []),
        element("p", f"Prepared with vol3d {card['version']}; splits {card['splits_sha256'][:16]}. {DISCLAIMER}", class_="note"),
    ]
    head = element("head", element("meta", charset="utf-8"), element("title", f"Corpus {card['title']}"), element("style", Html(_STYLE)))
    with atomic_path(store / name) as temporary:
        temporary.write_text("<!doctype html>" + element("html", head, element("body", *body), lang="en"), encoding="utf-8")
    return store / name


def _counts(card: dict[str, Any], rows: Sequence[Row]) -> Html:
    found = {
        "series": len(rows),
        "studies": len({r.study for r in rows}),
        "patients": len({r.patient for r in rows}),
        **Counter(r.split for r in rows),
    }
    expected = card["counts"]["expected"]
    names = list(dict.fromkeys([*found, *expected]))
    table = [(name or "no split", found.get(name, 0), expected.get(name, "")) for name in names]
    listed, kept = card["counts"]["found"], card["counts"]["stored"]
    return join(
        [element("h2", "Counts"), element("p", f"{listed} series found, {kept} in the store."), _table(("", "in the store", "published"), table)]
    )


def _quarantine(rows: Sequence[dict[str, str]]) -> Html:
    if not rows:
        return join([element("h2", "Refused"), element("p", "Nothing was refused.")])
    counts = Counter(row["reason"] for row in rows)
    parts = [element("h2", f"Refused: {len(rows)}"), _table(("reason", "series"), counts.most_common())]
    parts.append(_table(("series", "reason", "message"), [(r["key"], r["reason"], r["message"]) for r in rows[:_SHOWN]]))
    if len(rows) > _SHOWN:
        parts.append(element("p", f"The first {_SHOWN} of {len(rows)}; all stand in quarantine.parquet."))
    return join(parts)


def _figures(rows: Sequence[Row], records: Sequence[Record]) -> Html:
    spacing = np.array([r.spacing_mm for r in rows])
    extent = spacing * np.array([r.shape for r in rows])
    panels = [
        ("slice spacing (mm)", spacing[:, 0]),
        ("in-plane spacing (mm)", spacing[:, 2]),
        ("slices", np.array([r.shape[0] for r in rows])),
        ("field of view across (mm)", extent[:, 2]),
        ("field of view along the body (mm)", extent[:, 0]),
        ("1st percentile of the values", np.array([r.checks["intensities"]["p01"] for r in records])),
    ]
    return join([element("h2", "Geometry"), element("img", src=histograms(panels), alt="Histograms of spacing, field of view and values")])


def histograms(panels: Sequence[tuple[str, np.ndarray]]) -> str:
    """Small multiples as a PNG data URI."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 8}):
        figure = Figure(figsize=(9, 2.2 * -(-len(panels) // 3)), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        for index, (title, values) in enumerate(panels):
            axes = figure.add_subplot(-(-len(panels) // 3), 3, index + 1)
            axes.hist(values, bins=min(30, max(5, len(values))), color="#4477aa")
            axes.set_title(title)
            axes.set_ylabel("series")
        data = io.BytesIO()
        canvas.print_png(data, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _presets(records: Sequence[Record]) -> Html:
    lost = [r.checks["lost"] for r in records if r.checks.get("lost")]
    if not lost:
        return Html("")
    table = []
    for name in lost[0]:
        values = np.array([entry[name] for entry in lost])
        table.append((name, f"{100 * (values > _TRUNCATED).mean():.0f}%", f"{100 * values.mean():.1f}%", f"{100 * values.max():.0f}%"))
    text = "Share of CT series of which a preset's box cuts off more than 1% of the body, and how much it cuts off."
    return join([element("h2", "What presets cut off"), element("p", text), _table(("preset", "series cut", "mean lost", "most lost"), table)])


def _values(records: Sequence[Record]) -> Html:
    notices = Counter(code for r in records for code in r.checks["notices"])
    sides = [r.checks["liver_side"] for r in records if r.checks["liver_side"] is not None]
    air = [r.checks["intensities"]["air_fraction"] for r in records]
    facts = [
        ("median share of air (below -900)", f"{100 * float(np.median(air)):.0f}%"),
        ("liver found on the right", f"{sum(s > 0 for s in sides)} of {len(sides)} that cover it"),
        *((f"noticed: {code}", n) for code, n in notices.most_common()),
    ]
    return join([element("h2", "Values"), _table(("", ""), facts)])


def _labels(rows: Sequence[Row]) -> Html:
    names = list(dict.fromkeys(name for row in rows for name in row.labels))
    if not names:
        return Html("")
    splits = sorted({row.split for row in rows})
    table = []
    for name in names:
        cells = []
        for split in splits:
            values = [row.labels[name] for row in rows if row.split == split and name in row.labels]
            cells.append(f"{100 * float(np.mean(values)):.0f}% of {len(values)}" if values else "")
        table.append((name, *cells))
    return join([element("h2", "Labels"), _table(("", *splits), table)])


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Html:
    head = element("tr", *(element("th", name) for name in header)) if any(header) else Html("")
    body = [element("tr", *(element("td", cell, class_="n" if isinstance(cell, int | float) else None) for cell in row)) for row in rows]
    return element("table", head, *body)
