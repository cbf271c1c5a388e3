"""``python -m imaging_cds``."""

import sys

from imaging_cds.cli import main

if __name__ == "__main__":  # the demo's image workers import this module again
    sys.exit(main())
