"""The language side: vision tokens, fusion, packing, the language model."""
