"""Plots of result pages as SVG text, without a plotting library: bars with intervals, calibration, win/tie/loss."""

from collections.abc import Sequence
from html import escape

from vol3d.evaluation.results import MetricRow

_COLOURS = ("#1f6f8b", "#c8553d", "#6a994e", "#8e7dbe", "#b08900", "#4a4e69")
_LABEL_PX, _BAR_PX, _ROW_PX = 260, 420, 20


def bars(metrics: Sequence[str], models: Sequence[str], rows: Sequence[Sequence[MetricRow | None]]) -> str:
    """Horizontal bars from 0 to 1 with intervals: one group of bars per metric, one colour per model.

    Args:
        metrics: names, top to bottom.
        models: names, in the order of the inner lists.
        rows: for each metric one row per model (None: not measured).
    """
    height = len(metrics) * (len(models) * 9 + 11) + 30
    parts = [f'<svg viewBox="0 0 {_LABEL_PX + _BAR_PX + 60} {height}" role="img" aria-label="scores per metric">']
    parts += [_grid(x, height) for x in (0.0, 0.25, 0.5, 0.75, 1.0)]
    y = 22.0
    for metric, group in zip(metrics, rows, strict=True):
        parts.append(f'<text x="{_LABEL_PX - 8}" y="{y + len(models) * 4.5 + 4}" text-anchor="end">{escape(metric[:44])}</text>')
        for i, row in enumerate(group):
            if row is not None and row.value is not None:
                parts.append(_bar(y + i * 9, row, _COLOURS[i % len(_COLOURS)], models[i]))
        y += len(models) * 9 + 11
    return "".join([*parts, "</svg>"])


def _grid(x: float, height: float) -> str:
    at = _LABEL_PX + x * _BAR_PX
    return f'<line x1="{at}" x2="{at}" y1="16" y2="{height - 8}" class="grid"/><text x="{at}" y="11" text-anchor="middle">{x:g}</text>'


def _bar(y: float, row: MetricRow, colour: str, model: str) -> str:
    value = min(1.0, max(0.0, row.value or 0.0))
    bar = f'<rect x="{_LABEL_PX}" y="{y}" width="{value * _BAR_PX:.1f}" height="8" fill="{colour}"><title>{escape(model)}: {row.value:.3f} (n {row.n})</title></rect>'
    if row.ci_low is None or row.ci_high is None:
        return bar
    low, high = (_LABEL_PX + min(1.0, max(0.0, v)) * _BAR_PX for v in (row.ci_low, row.ci_high))
    return f'{bar}<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 4}" y2="{y + 4}" class="interval"/>'


def legend(models: Sequence[str]) -> str:
    """Colours of the models."""
    return " ".join(
        f'<span class="key"><i style="background:{_COLOURS[i % len(_COLOURS)]}"></i>{escape(name)}</span>' for i, name in enumerate(models)
    )


def reliability(bins: Sequence[tuple[float, float, int]]) -> str:
    """Calibration: mean confidence against accuracy, one point per bin (confidence, accuracy, count)."""
    size, margin = 240, 30
    total = max(1, sum(count for _, _, count in bins))

    def place(x: float, y: float) -> tuple[float, float]:
        return margin + x * size, margin + (1 - y) * size

    (x0, y0), (x1, y1) = place(0, 0), place(1, 1)
    parts = [f'<svg viewBox="0 0 {size + 2 * margin} {size + 2 * margin}" role="img" aria-label="calibration">']
    parts.append(
        f'<rect x="{x0}" y="{y1}" width="{size}" height="{size}" class="frame"/><line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" class="grid"/>'
    )
    for confidence, accuracy, count in bins:
        x, y = place(confidence, accuracy)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 + 12 * (count / total) ** 0.5:.1f}" fill="{_COLOURS[0]}" opacity="0.7"><title>{count} answers</title></circle>'
        )
    parts.append(f'<text x="{margin + size / 2}" y="{size + 2 * margin - 8}" text-anchor="middle">confidence</text>')
    return "".join(
        [
            *parts,
            f'<text x="12" y="{margin + size / 2}" transform="rotate(-90 12 {margin + size / 2})" text-anchor="middle">right answers</text></svg>',
        ]
    )


def verdict_strip(wins: int, ties: int, losses: int) -> str:
    """Wins, ties and losses as one bar."""
    total = max(1, wins + ties + losses)
    x, parts = 0.0, ['<svg viewBox="0 0 400 26" role="img" aria-label="win, tie, loss">']
    for count, colour, word in ((wins, "#6a994e", "win"), (ties, "#b9b9b9", "tie"), (losses, "#c8553d", "loss")):
        width = 400 * count / total
        if count:
            parts.append(
                f'<rect x="{x:.1f}" y="2" width="{width:.1f}" height="22" fill="{colour}"/><text x="{x + 6:.1f}" y="18" class="on">{count} {word}</text>'
            )
        x += width
    return "".join([*parts, "</svg>"])
