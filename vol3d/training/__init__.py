"""One training loop for all recipes."""
