"""`python -m vol3d` is the command `vol3d`."""

import sys

from vol3d.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
