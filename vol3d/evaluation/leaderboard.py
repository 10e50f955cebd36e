"""Results side by side: one row per model, ranked by a metric, with the rank's uncertainty; and the page with plots and worst cases."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from vol3d.contracts import DISCLAIMER
from vol3d.errors import ConfigError
from vol3d.evaluation import figures
from vol3d.evaluation.compare import compare_results
from vol3d.evaluation.results import MetricRow, ResultFile

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}table{border-collapse:collapse;margin:1rem 0}
td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto;font-size:11px}svg .grid{stroke:#ddd}svg .interval{stroke:#222;stroke-width:1.4}svg .frame{fill:none;stroke:#999}svg .on{fill:#fff}
.key{margin-right:1rem}.key i{display:inline-block;width:.8em;height:.8em;margin-right:.3em}.note{color:#555}.small{max-width:22rem}
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}svg text{fill:#ddd}svg .interval{stroke:#fff}td,th{border-color:#444}}"""


def leaderboard_rows(results: Sequence[ResultFile], metric: str) -> list[dict[str, Any]]:
    """Models and the baselines that stand in their results by a metric, best first; models whose interval holds the best one's value share its rank.

    Errors: ConfigError where no result has the metric.
    """
    scored = [
        (r.provenance.model or f"model {i + 1}", row) for i, r in enumerate(results) if (row := r.find(metric)) is not None and row.value is not None
    ]
    if not scored:
        raise ConfigError("no result has this metric", expected=metric, found=", ".join(sorted({row.metric for r in results for row in r.rows})[:8]))
    scored += _baselines(results, metric)
    scored.sort(key=lambda pair: -(pair[1].value or 0.0))
    rows, rank, leader = [], 1, scored[0][1]
    for place, (name, row) in enumerate(scored, start=1):
        if row.ci_high is not None and leader.value is not None and row.ci_high < leader.value:
            rank, leader = place, row
        rows.append({"rank": rank, "model": name, **row.model_dump()})
    return rows


def _baselines(results: Sequence[ResultFile], metric: str) -> list[tuple[str, MetricRow]]:
    """Baselines that stand in the results: those of the questions once, those of a model (blind, swapped, shuffled) under its name."""
    found: dict[str, MetricRow] = {}
    for i, result in enumerate(results):
        for row in result.rows:
            kind, _, rest = row.metric.partition("/")
            name = kind.removeprefix("baseline_")
            if kind != name and rest == metric and row.value is not None:
                own = name in ("blind", "swapped", "shuffled")
                found.setdefault(f"{result.provenance.model or f'model {i + 1}'}, {name}" if own else f"baseline: {name}", row)
    return list(found.items())


def reliability_bins(items: Sequence[Mapping[str, Any]], *, bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, count) over bins of confidence, from items that have one."""
    known = [(float(i["confidence"]), float(i["score"])) for i in items if isinstance(i.get("confidence"), int | float)]
    if not known:
        return []
    confidence, score = np.array(known).T
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        (float(confidence[where == b].mean()), float(score[where == b].mean()), int((where == b).sum())) for b in range(bins) if (where == b).any()
    ]


def page(results: Sequence[ResultFile], *, metric: str = "score", worst: int = 20, pictures: Mapping[str, str] | None = None) -> str:
    """One HTML page, with no script and nothing from elsewhere.

    Args:
        results: of one task; the first is the model that the worst cases are shown of, the second its base.
        metric: the leaderboard is ranked by it.
        worst: how many of the worst answers to list.
        pictures: image_id -> data URI of a rendered slice.
    """
    board = leaderboard_rows(results, metric)
    names = [r.provenance.model or f"model {i + 1}" for i, r in enumerate(results)]
    parts = [f"<h1>{escape(results[0].task)} results</h1>", f'<p class="note">{escape(DISCLAIMER)}</p>', _board_table(board, metric)]
    for group in ("group", "subtype", "organ", "lesion_size", "yes_no", "number", "clinical", "entity", "auroc"):
        parts += _plot(results, names, group)
    bins = reliability_bins(results[0].items)
    if bins:
        parts += ["<h2>Calibration</h2>", f'<div class="small">{figures.reliability(bins)}</div>']
    parts += _comparison(results)
    parts += _worst_cases(results[0], worst, pictures or {})
    parts += ["<h2>Where these numbers come from</h2>", *[f"<pre>{escape(r.provenance.model_dump_json(indent=1))}</pre>" for r in results]]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(results[0].task)} results</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def _board_table(board: Sequence[Mapping[str, Any]], metric: str) -> str:
    lines = [f"<tr><th>rank</th><th>model</th><th>{escape(metric)}</th><th>95% interval</th><th>n</th></tr>"]
    for row in board:
        interval = "" if row["ci_low"] is None else f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
        cells = f'<td class="n">{row["value"]:.3f}</td><td class="n">{interval}</td><td class="n">{row["n"]}</td>'
        lines.append(f'<tr><td class="n">{row["rank"]}</td><td>{escape(row["model"])}</td>{cells}</tr>')
    note = '<p class="note">Models whose interval reaches the best value share its rank. Baselines never saw the scan that they are scored on.</p>'
    return f"<table>{''.join(lines)}</table>{note}"


def _plot(results: Sequence[ResultFile], names: Sequence[str], group: str) -> list[str]:
    metrics = list(dict.fromkeys(row.metric for r in results for row in r.rows if row.metric.startswith(f"{group}/")))[:60]
    if not metrics:
        return []
    rows: list[list[MetricRow | None]] = [[r.find(m) for r in results] for m in metrics]
    shown = [m.removeprefix(f"{group}/") for m in metrics]
    return [f"<h2>By {escape(group.replace('_', ' '))}</h2>", f"<p>{figures.legend(names)}</p>", figures.bars(shown, names, rows)]


def _comparison(results: Sequence[ResultFile]) -> list[str]:
    if len(results) < 2 or not results[0].items or {i["qid"] for i in results[0].items} != {i["qid"] for i in results[1].items}:
        return []
    table = compare_results(results[0], results[1], by="subtype")
    strip = figures.verdict_strip(table["win"], table["tie"], table["loss"])
    return [
        "<h2>Win, tie, loss</h2>",
        f"<p>{escape(table['summary'])} (subtypes; paired by question, by patient; Holm)</p>",
        f'<div class="small">{strip}</div>',
    ]


def _worst_cases(result: ResultFile, worst: int, pictures: Mapping[str, str]) -> list[str]:
    cases = sorted((i for i in result.items if isinstance(i.get("score"), int | float)), key=lambda i: (i["score"], str(i["qid"])))[:worst]
    if not cases:
        return []
    lines = ["<tr><th>scan</th><th>kind</th><th>truth</th><th>answer</th><th>read as</th><th>score</th><th></th></tr>"]
    for item in cases:
        uri = pictures.get(str(item.get("image_id")), "")
        picture = f'<img src="{escape(uri)}" alt="slice of {escape(str(item.get("image_id")))}" width="128">' if uri.startswith("data:image/") else ""
        cells = [
            item.get("image_id"),
            item.get("subtype") or item.get("kind"),
            item.get("truth_text") or item.get("truth"),
            str(item.get("prediction"))[:160],
            item.get("parsed"),
        ]
        lines.append("<tr>" + "".join(f"<td>{escape(str(c))}</td>" for c in cells) + f'<td class="n">{item["score"]:.2f}</td><td>{picture}</td></tr>')
    return ["<h2>Worst cases</h2>", f"<table>{''.join(lines)}</table>"]
