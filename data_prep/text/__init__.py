"""Radiology report text: sections, sentences, entities, labels, captions, and checks that rewriting keeps the facts."""
