"""Many questions after one prefix: the prefix is read once, the questions are read and answered as branches of one row.

The cache of keys and values grows by one token of every unfinished branch at a step. Who sees whom follows from segment ids, as
in training; so a batch of ragged questions needs no padding and computes what each question alone would.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vol3d.errors import ShapeError
from vol3d.vlm.fuse import Visual
from vol3d.vlm.prompt import DOUBTFUL

if TYPE_CHECKING:
    from vol3d.vlm.model import VisionLanguageModel

_PREFIX_SEGMENT = 0
# Tokens of questions that are read side by side: more would spend the time on masks and cached keys of siblings.
_TOKENS_AT_ONCE = 768


@runtime_checkable
class Guide(Protocol):
    """What a reply may say next. Where it stands is the guide's own business: decoding only keeps one place for each branch."""

    @property
    def start(self) -> Any:
        """The place before the first token."""
        ...

    def allowed(self, place: Any, left: int) -> Int[Tensor, " n"]:
        """Ids of the tokens that may come next, of which there is at least one; `left` tokens may still be said."""
        ...

    def after(self, place: Any, token: int) -> Any:
        """The place after a token."""
        ...


@dataclass(frozen=True)
class Prefix:
    """A prefix as the model has read it: keys and values of each layer, and its length in tokens."""

    keys_values: tuple[tuple[Tensor, Tensor], ...]
    length: int


@dataclass(frozen=True)
class Reply:
    """One reply. `confidence` is the model's own probability: of the whole text, or of the choice among the choices.

    `doubt` is the probability of opening the reply as `doubtful` opens: where image and evidence disagree, a model that was trained
    to notice gives it its weight, whether or not it ends up saying so.
    """

    text: str
    confidence: float
    log_probability: float
    num_tokens: int
    choice: int | None = None
    choice_scores: tuple[float, ...] = ()
    doubt: float = 0.0


@dataclass
class _Row:
    """The growing row behind a prefix: its cache and, for each cached token, its segment."""

    model: "VisionLanguageModel"
    cache: Any
    segments: Int[Tensor, " k"]
    ancestors: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def read(self, ids: Int[Tensor, " q"], segments: Int[Tensor, " q"], positions: Int[Tensor, " q"]) -> Float[Tensor, "q d"]:
        """Hidden states of new tokens, which join the cache."""
        self.segments = torch.cat([self.segments, segments])
        hidden = self.model.language.get_decoder()(
            inputs_embeds=self.model.embed(ids, ())[None],
            position_ids=positions[None],
            attention_mask=self._visible(segments)[None, None],
            past_key_values=self.cache,
            use_cache=True,
        )[0]
        return hidden[0]

    def _visible(self, segments: Int[Tensor, " q"]) -> Bool[Tensor, "q k"]:
        """Earlier tokens of one's own segment and of all that it stems from."""
        num_queries, num_keys = len(segments), len(self.segments)
        order = torch.ones(num_queries, num_keys, dtype=torch.bool, device=segments.device).tril(num_keys - num_queries)
        lineage = torch.zeros(int(self.segments.max()) + 1, int(self.segments.max()) + 1, dtype=torch.bool)
        for child in segments.unique().tolist():
            lineage[child, [child, *self.ancestors.get(child, ())]] = True
        return lineage.to(segments.device)[segments][:, self.segments] & order


@torch.inference_mode()
def encode_prefix(model: "VisionLanguageModel", text: str, visuals: Sequence[Visual] = ()) -> Prefix:
    """Read text and visuals once. Raises ShapeError where placeholders and visuals do not match."""
    from transformers import DynamicCache

    ids = model.prefix_ids(text, visuals).to(model.device)
    if not len(ids):
        raise ShapeError("the prefix is empty", expected="at least one token")
    cache: Any = DynamicCache()
    model.language.get_decoder()(inputs_embeds=model.embed(ids, visuals)[None], past_key_values=cache, use_cache=True)
    return Prefix(tuple((layer.keys, layer.values) for layer in cache.layers), len(ids))


@torch.inference_mode()
def answer_many(
    model: "VisionLanguageModel",
    prefix: Prefix,
    questions: Sequence[str],
    *,
    max_new_tokens: int = 48,
    choices: Sequence[Sequence[str]] | None = None,
    guide: Guide | None = None,
) -> list[Reply]:
    """Replies in the order of the questions; greedy, or the likeliest choice where `choices` gives one list a question.

    A greedy reply says only what `guide` allows; its probability is the model's own all the same, as if nothing were forbidden.
    Raises ShapeError for an empty question, or for choices that do not match the questions.
    """
    if choices is not None and (len(choices) != len(questions) or not all(choices)):
        raise ShapeError("choices do not match the questions", expected=f"{len(questions)} lists that are not empty", found=len(choices))
    asked = [model.ids(question).to(model.device) for question in questions]
    if not all(map(len, asked)):
        raise ShapeError("a question is empty", expected="at least one token")
    replies: list[Reply] = []
    for start, stop in _chunks([len(ids) for ids in asked]):
        row, last = _read_questions(model, prefix, asked[start:stop])
        lengths = [prefix.length + len(ids) for ids in asked[start:stop]]
        if choices is None:
            replies += _greedy(row, last, lengths, max_new_tokens, guide)
        else:
            replies += _choose(row, last, lengths, choices[start:stop])
    return replies


def _chunks(lengths: Sequence[int]) -> list[tuple[int, int]]:
    out, start, total = [], 0, 0
    for i, length in enumerate(lengths):
        if i > start and total + length > _TOKENS_AT_ONCE:
            out.append((start, i))
            start, total = i, 0
        total += length
    return [*out, (start, len(lengths))] if lengths else []


def _read_questions(model: "VisionLanguageModel", prefix: Prefix, asked: Sequence[Tensor]) -> tuple[_Row, Float[Tensor, "q d"]]:
    """The row after all questions, and the hidden state at the end of each; question i is segment i + 1."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for layer, (keys, values) in enumerate(prefix.keys_values):
        cache.update(keys, values, layer)
    ancestors: dict[int, tuple[int, ...]] = {i + 1: (_PREFIX_SEGMENT,) for i in range(len(asked))}
    row = _Row(model, cache, torch.full((prefix.length,), _PREFIX_SEGMENT, device=model.device), ancestors)
    segments = torch.cat([torch.full_like(ids, i + 1) for i, ids in enumerate(asked)])
    positions = torch.cat([torch.arange(len(ids), device=model.device) + prefix.length for ids in asked])
    hidden = row.read(torch.cat(list(asked)), segments, positions)
    ends = torch.tensor([len(ids) for ids in asked], device=model.device).cumsum(0) - 1
    return row, hidden[ends]


def _log_probabilities(model: "VisionLanguageModel", hidden: Float[Tensor, "q d"]) -> Float[Tensor, "q v"]:
    return model.language.get_output_embeddings()(hidden).float().log_softmax(-1)


def _greedy(row: _Row, last: Float[Tensor, "q d"], lengths: Sequence[int], max_new_tokens: int, guide: Guide | None) -> list[Reply]:
    model = row.model
    said: list[list[int]] = [[] for _ in lengths]
    places = [guide.start if guide else None for _ in lengths]
    scores = [0.0] * len(lengths)
    alive = list(range(len(lengths)))
    doubts: list[float] = [0.0] * len(lengths)
    for step in range(max_new_tokens):
        scored = _log_probabilities(model, last)
        if step == 0:
            doubts = _doubts(model, scored)
        best, token = likeliest(scored, guide, [places[i] for i in alive], max_new_tokens - step)
        for i, score, new in zip(alive, best.tolist(), token.tolist(), strict=True):
            said[i].append(new)
            scores[i] += score
            places[i] = guide.after(places[i], new) if guide else None
        going = [k for k, new in enumerate(token.tolist()) if new != model.end_id]
        if not going or step + 1 == max_new_tokens:
            break
        alive = [alive[k] for k in going]
        where = torch.tensor(alive, device=model.device)
        positions = torch.tensor([lengths[i] + step for i in alive], device=model.device)
        last = row.read(token[going], where + 1, positions)
    return [_reply(model, *said_and_scored) for said_and_scored in zip(said, scores, doubts, strict=True)]


def _doubts(model: "VisionLanguageModel", first: Float[Tensor, "q v"]) -> list[float]:
    """From the log-probabilities of the first token of each reply."""
    return first[:, int(model.ids(DOUBTFUL)[0])].exp().tolist()


def likeliest(
    log_probabilities: Float[Tensor, "q v"], guide: Guide | None, places: Sequence[Any], left: int
) -> tuple[Float[Tensor, " q"], Int[Tensor, " q"]]:
    """The best token of each row among those that the guide allows there, and its log-probability."""
    if guide is None:
        best = log_probabilities.max(-1)
        return best.values, best.indices
    allowed = [guide.allowed(place, left).to(log_probabilities.device) for place in places]
    token = torch.stack([ids[row[ids].argmax()] for row, ids in zip(log_probabilities, allowed, strict=True)])
    return log_probabilities.gather(1, token[:, None])[:, 0], token


def _reply(model: "VisionLanguageModel", ids: list[int], score: float, doubt: float) -> Reply:
    words = ids[:-1] if ids and ids[-1] == model.end_id else ids
    return Reply(model.text_tokenizer.decode(words).strip(), math.exp(score), score, len(ids), doubt=doubt)


def _choose(row: _Row, last: Float[Tensor, "q d"], lengths: Sequence[int], choices: Sequence[Sequence[str]]) -> list[Reply]:
    """Score every choice as a child of its question: mean log-probability over its tokens and the end token.

    The end counts, or `1` would always beat `10`; the mean, so that long choices are not punished for their length.
    """
    model, device = row.model, row.model.device
    end = torch.tensor([model.end_id])
    texts = [[torch.cat([model.ids(choice), end]).to(device) for choice in options] for options in choices]
    first = _log_probabilities(model, last)
    flat = [(q, ids) for q, options in enumerate(texts) for ids in options]
    segment, parts = len(lengths) + 1, []
    for q, ids in flat:
        row.ancestors[segment] = (q + 1, *row.ancestors[q + 1])
        # The end token is predicted and never read.
        parts.append((ids[:-1], torch.full_like(ids[:-1], segment), torch.arange(len(ids) - 1, device=device) + lengths[q]))
        segment += 1
    hidden = row.read(*(torch.cat(column) for column in zip(*parts, strict=True)))
    sums, place = [], 0
    for q, ids in flat:
        rest = _log_probabilities(model, hidden[place : place + len(ids) - 1]).gather(1, ids[1:, None]).sum()
        sums.append(float(first[q, ids[0]] + rest))
        place += len(ids) - 1
    return _rank(choices, [[len(ids) for ids in options] for options in texts], sums, _doubts(model, first))


def _rank(choices: Sequence[Sequence[str]], lengths: Sequence[Sequence[int]], sums: Sequence[float], doubts: Sequence[float]) -> list[Reply]:
    replies, start = [], 0
    for options, sizes, doubt in zip(choices, lengths, doubts, strict=True):
        totals = sums[start : start + len(options)]
        means = torch.tensor([total / size for total, size in zip(totals, sizes, strict=True)], dtype=torch.float64)
        best = int(means.argmax())
        shares = means.softmax(0)
        replies.append(Reply(options[best], float(shares[best]), totals[best], sizes[best], best, tuple(means.tolist()), doubt))
        start += len(options)
    return replies


def merge_adapters(model: "VisionLanguageModel") -> None:
    """Fold the adapters into the base weights: the same answers, without their cost. The model can then not be saved."""
    from peft.tuners.lora import LoraLayer

    for module in model.language.modules():
        if isinstance(module, LoraLayer) and not module.merged:
            module.merge()
    model.provenance = {**model.provenance, "merged": True}
