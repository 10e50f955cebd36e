"""The measurements: one row for each structure with what readers look for first, and all others with their methods below."""

from collections.abc import Iterable, Sequence

from vol3d.contracts import Measurement, Status
from vol3d.page.anchors import Anchors
from vol3d.page.blocks import chip, number, words
from vol3d.page.html import Html, element, join

# Columns of the summary; each cell is the address of its measurement.
_SUMMARY = {
    "volume": "volume",
    "longest_axial_diameter": "longest",
    "perpendicular_diameter": "perpendicular",
    "num_components": "parts",
    "mean_intensity": "mean",
    "sd_intensity": "sd",
    "side": "side",
}
_DETAIL_COLUMNS = ("structure", "part", "measurement", "value", "unit", "status", "links", "method")


def measurements_block(anchors: Anchors) -> Html:
    """All measurements; whatever a claim rests on can be seen without unfolding anything."""
    if not anchors.measurements:
        return element("p", "Nothing was measured.", class_="quiet")
    groups = _groups(anchors)
    in_summary = {item.id for items in groups for item in items if item.name in _SUMMARY}
    rest = [item for item in anchors.measurements if item.id not in in_summary]
    summary = element("summary", f"{len(rest)} further measurements, with their methods")
    unfold = "" if any(anchors.claims_on(item.id) for item in rest) else None
    details = element("details", summary, _detail_table(rest, anchors), open=unfold) if rest else ""
    return join([_summary_table(groups, anchors) if groups else "", details])


def _groups(anchors: Anchors) -> list[list[Measurement]]:
    """Measurements of each structure and part that was found, or that a claim is about."""
    parts: dict[tuple[str, int | None], list[Measurement]] = {}
    for item in anchors.measurements:
        parts.setdefault((item.structure, item.component), []).append(item)
    return [items for items in parts.values() if any(item.name in _SUMMARY for item in items) and _worth_a_row(items, anchors)]


def _worth_a_row(items: Iterable[Measurement], anchors: Anchors) -> bool:
    return any(item.status is Status.FOUND or anchors.claims_on(item.id) for item in items)


def _summary_table(groups: Sequence[Sequence[Measurement]], anchors: Anchors) -> Html:
    units: dict[str, str] = {}
    for item in (item for items in groups for item in items):
        units.setdefault(item.name, item.unit)
    used = [name for name in _SUMMARY if name in units]
    titles = [f"{_SUMMARY[name]}, {units[name]}" if len(units[name]) > 1 else _SUMMARY[name] for name in used]
    head = [element("th", title, class_="number", scope="col") for title in titles]
    names = (element("th", name, scope="col") for name in ("structure", "part"))
    tail = (element("th", name, scope="col") for name in ("status", "links"))
    rows = (_summary_row(items, used, anchors) for items in groups)
    table = element("table", element("thead", element("tr", *names, *head, *tail)), element("tbody", *rows))
    return element("div", table, class_="scroll summary")


def _summary_row(items: Sequence[Measurement], columns: Sequence[str], anchors: Anchors) -> Html:
    by_name = {item.name: item for item in items}
    first = items[0]
    cells = [_cell(by_name.get(name), anchors) for name in columns]
    links = [link for item in items for link in _claim_links(item, anchors)]
    return element(
        "tr",
        element("td", words(first.structure)),
        element("td", first.component or "all"),
        *cells,
        element("td", chip(first.status)),
        element("td", _separated([*links, *_picture_link(first.structure, anchors)])),
    )


def _cell(item: Measurement | None, anchors: Anchors) -> Html:
    if item is None:
        return element("td")
    title = f"{item.id}: {item.method}"
    return element("td", number(item.value), id=anchors.measurement(item.id), class_="number", title=title)


def _detail_table(items: Sequence[Measurement], anchors: Anchors) -> Html:
    head = element("tr", *(element("th", name, class_="number" if name == "value" else None, scope="col") for name in _DETAIL_COLUMNS))
    rows = (_detail_row(item, anchors) for item in items)
    return element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll")


def _detail_row(item: Measurement, anchors: Anchors) -> Html:
    cells = [
        element("td", words(item.structure)),
        element("td", item.component or "all"),
        element("td", words(item.name)),
        element("td", number(item.value), class_="number"),
        element("td", item.unit),
        element("td", chip(item.status)),
        element("td", _separated([*_claim_links(item, anchors), *_picture_link(item.structure, anchors)])),
        element("td", item.method, class_="quiet"),
    ]
    return element("tr", *cells, id=anchors.measurement(item.id), title=item.id)


def _claim_links(item: Measurement, anchors: Anchors) -> list[Html]:
    return [element("a", str(n), href=f"#claim-{n}", title=f"claim {n}") for n in anchors.claims_on(item.id)]


def _picture_link(structure: str, anchors: Anchors) -> list[Html]:
    picture = anchors.picture(structure)
    return [element("a", "slice", href=f"#{picture}")] if picture else []


def _separated(links: Sequence[Html]) -> Html:
    return join([part for link in links for part in (", ", link)][1:])
