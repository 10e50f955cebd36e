"""The parts of the page, each from one contract: report text, coverage, slices, questions, provenance."""

import base64
import io
import json
from collections.abc import Mapping, Sequence

from vol3d.contracts import Answer, Claim, Evidence, Measurement, Picture, Report, Status, TraceStep
from vol3d.page.anchors import Anchors
from vol3d.page.html import Html, element, join

# The pipeline's entry for what the file itself says; nobody looked for it in the image.
_WHOLE_SCAN = "scan"
_VERDICTS = {
    "supported": "claim",
    "contradicted": "claim contradicted",
    "unsupported": "claim unsupported",
    "not_covered": "claim claim-not-covered",
    "doubtful": "claim doubtful",
}


def words(name: str) -> str:
    """A structure's or status's name as people read it.

    >>> words("lung_upper_lobe_left")
    'lung upper lobe left'
    """
    return name.replace("_", " ")


def number(value: object) -> str:
    """A measured value with as many digits as it deserves.

    >>> [number(v) for v in (1450.26, 0.5231, 3, (1.0, -22.5), None, "left")]
    ['1450.3', '0.523', '3', '1.0, -22.5', '', 'left']
    """
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 1 else f"{value:.3g}"
    if isinstance(value, tuple):
        return ", ".join(f"{item:.1f}" for item in value)
    return "" if value is None else str(value)


def chip(status: str) -> Html:
    """A status as a coloured word."""
    return element("span", words(str(status)), class_=f"chip {status}")


def report_block(report: Report, anchors: Anchors) -> Html:
    """Findings and impression; each claim in them links to its measurement and to a picture of its mask."""
    pending = dict(enumerate(report.claims, 1))
    parts: list[Html] = []
    for heading, text in (("Findings", report.findings), ("Impression", report.impression)):
        if text.strip():
            parts.append(element("h3", heading))
            parts += [element("p", linked_text(line, pending, anchors)) for line in text.splitlines() if line.strip()]
    if pending:
        items = [element("li", claim_link(n, claim, anchors), " ", chip(claim.verdict)) for n, claim in pending.items()]
        parts += [element("h3", "Outside of the text"), element("ul", *items, class_="plain")]
    note = "Underlined statements link to the measurement that they rest on; wavy ones contradict it, dotted ones rest on none or are doubted by the model."
    return element("div", *parts, element("p", note, class_="quiet") if report.claims else "", class_="report")


def linked_text(text: str, pending: dict[int, Claim], anchors: Anchors) -> Html:
    """`text` with the claims that stand in it turned into links; those are taken out of `pending`."""
    spots = sorted((text.find(claim.text), n) for n, claim in pending.items() if claim.text and claim.text in text)
    pieces: list[object] = []
    cursor = 0
    for start, n in spots:
        if start >= cursor:
            claim = pending.pop(n)
            pieces += [text[cursor:start], claim_link(n, claim, anchors)]
            cursor = start + len(claim.text)
    return join([*pieces, text[cursor:]])


def claim_link(n: int, claim: Claim, anchors: Anchors) -> Html:
    """A claim as a link to its measurement's row, and a small one to its mask's picture."""
    item = anchors.find(claim.measurement_id)
    style = _VERDICTS[claim.verdict]
    if item is None:
        return element("span", claim.text, id=f"claim-{n}", class_=style, title=words(claim.verdict))
    title = f"{words(claim.verdict)}: {words(item.structure)}, {words(item.name)} {number(item.value)} {item.unit}".strip()
    link = element("a", claim.text, id=f"claim-{n}", class_=style, href=f"#{anchors.measurement(item.id)}", title=title)
    picture = anchors.picture(item.structure)
    if picture is None:
        return link
    return join([link, element("sup", element("a", "slice", href=f"#{picture}", title=f"picture of {words(item.structure)}"))])


def coverage_block(evidence: Evidence) -> Html:
    """What was looked for, by outcome; not covered and failed with the reason."""
    reasons = {name: why for labels in evidence.masks.values() for name, why in labels.reasons.items()}
    rows = []
    for status in Status:
        names = sorted(name for name, state in evidence.statuses.items() if state == status and name != _WHOLE_SCAN)
        if names:
            listed = [f"{words(name)} ({reasons[name]})" if name in reasons else words(name) for name in names]
            rows.append(element("li", chip(status), " ", "; ".join(listed)))
    return element("ul", *rows, class_="plain") if rows else element("p", "No structure was looked for.", class_="quiet")


def slices_block(pictures: Sequence[Picture]) -> Html:
    """All pictures, axial before coronal before sagittal, each with its legend."""
    if not pictures:
        return element("p", "No slice was rendered.", class_="quiet")
    order = {"axial": 0, "coronal": 1, "sagittal": 2}
    numbered = sorted(enumerate(pictures, 1), key=lambda pair: (order[pair[1].plane], pair[0]))
    return element("div", *(figure(n, picture) for n, picture in numbered), class_="slices")


def figure(n: int, picture: Picture) -> Html:
    """One picture as a figure with caption and legend."""
    image = element("img", src=png_data_uri(picture), alt=picture.caption, width=picture.rgb.shape[1], height=picture.rgb.shape[0])
    place = f"intensities: {words(picture.intensity)}"
    swatches = [element("span", swatch(colour), words(name)) for name, colour in picture.colours.items()]
    caption = [element("div", picture.caption), element("div", place, class_="quiet")]
    legend = element("div", *swatches, class_="legend") if swatches else ""
    return element("figure", element("div", image, class_="frame"), element("figcaption", *caption, legend), id=f"picture-{n}")


def swatch(colour: tuple[int, int, int]) -> Html:
    """A small square of a colour; an SVG, since the page's policy forbids inline styles."""
    return element("svg", element("rect", width=10, height=10, rx=2, fill="#{:02x}{:02x}{:02x}".format(*colour), stroke="#888"), viewBox="0 0 10 10")


def png_data_uri(picture: Picture) -> str:
    """A picture as a PNG inside the page."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture.rgb).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def question_block(answer: Answer, anchors: Anchors) -> Html:
    """A question, its answer, what it rests on, and the steps that led to it."""
    rests = [element("li", evidence_link(item, anchors)) for item in answer.evidence]
    sure = f"{answer.confidence:.2f} (the model's probability of its own answer)" if answer.confidence is not None else ""
    value = f"{number(answer.value)} {answer.unit or ''}".strip() if answer.value is not None else ""
    facts = [("choice", answer.choice), ("value", value), ("confidence", sure)]
    parts = [element("blockquote", answer.question), element("p", answer.text, " ", chip(answer.status), class_="answer")]
    parts += [element("p", "Doubt: ", doubt) for doubt in answer.doubts]
    parts += [element("p", f"{name}: {text}", class_="quiet") for name, text in facts if text]
    parts += [element("h3", "Rests on"), element("ul", *rests, class_="plain")] if rests else []
    return element("div", *parts, trace_block(answer.trace), class_="question")


def evidence_link(item: Measurement, anchors: Anchors) -> Html:
    """A measurement in words, linked to its row."""
    part = f" (part {item.component})" if item.component else ""
    text = f"{words(item.structure)}{part}, {words(item.name)}: {number(item.value)} {item.unit}".strip()
    return join([element("a", text, href=f"#{anchors.measurement(item.id)}"), " ", chip(item.status)])


def trace_block(steps: Sequence[TraceStep]) -> Html:
    """The steps of an answer, folded away."""
    if not steps:
        return Html("")
    columns = ("step", "call", "status", "seconds", "detail")
    head = element("tr", *(element("th", name, scope="col") for name in columns))
    rows = [
        element(
            "tr",
            element("td", step.step),
            element("td", element("code", step.call)),
            element("td", chip(step.status)),
            element("td", f"{step.seconds:.2f}"),
            element("td", step.detail, class_="quiet"),
        )
        for step in steps
    ]
    summary = element("summary", f"Trace: {len(steps)} steps, {sum(step.seconds for step in steps):.1f} s")
    return element("details", summary, element("div", element("table", head, *rows), class_="scroll"), open="")


def provenance_block(facts: Mapping[str, object]) -> Html:
    """Where everything came from, one line per fact; nested mappings become dotted names."""
    rows = [element("tr", element("td", name), element("td", element("code", text))) for name, text in _flatten(facts)]
    return element("div", element("table", *rows), class_="scroll") if rows else element("p", "None recorded.", class_="quiet")


def _flatten(facts: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            lines += _flatten(value, f"{prefix}{key}.")
        else:
            lines.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str)))
    return lines
