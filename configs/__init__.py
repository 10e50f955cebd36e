"""Recipes in YAML, found by name (`--config demo/vlm`)."""
