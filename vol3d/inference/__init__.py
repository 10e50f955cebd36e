"""From a path and a question to an answer; start with pipeline.py."""
