"""The far side of a worker: `serve.py` and one handler file per foreign package. They run in that package's own environment, without vol3d."""
