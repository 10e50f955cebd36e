"""From what people download to a store that training reads: sources, checks, text, questions."""
