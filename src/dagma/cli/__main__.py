"""`python -m dagma.cli`, the same as `dagma`."""

import sys

from dagma.cli import main

sys.exit(main())
