"""``python -m imaging_cds``."""

import sys

from imaging_cds.cli import main

sys.exit(main())
