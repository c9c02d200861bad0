"""``python -m ssds`` is ``ssds``."""

import sys

from ssds.cli import main

sys.exit(main())
