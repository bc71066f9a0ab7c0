#!/usr/bin/env python
"""Run bidsclf as a BIDS-App: ``run.py BIDS_DIR OUTPUT_DIR LEVEL``."""

import sys

from bidsclf.cli import main

if __name__ == "__main__":
    sys.exit(main())
