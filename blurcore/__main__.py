"""`python -m blurcore` is the command line."""

import sys

from blurcore.cli import main

sys.exit(main())
