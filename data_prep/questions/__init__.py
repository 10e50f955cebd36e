"""Questions with known answers, made from masks: 42 tumour-centred subtypes of the abdomen, and families for chest and brain."""

from data_prep.questions.generate import Case, Generated, draft_case, generate, generate_corpus
from data_prep.questions.model import Draft, Skip, Step, Subtype, subtypes
from data_prep.questions.writer import to_v1

__all__ = ["Case", "Draft", "Generated", "Skip", "Step", "Subtype", "draft_case", "generate", "generate_corpus", "subtypes", "to_v1"]
