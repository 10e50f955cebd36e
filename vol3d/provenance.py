"""Where this code comes from: the commit of the checkout that it runs from."""

import subprocess
from pathlib import Path


def git_commit() -> str:
    """The commit of the checkout that this package runs from; empty outside of one, or where git is missing."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
