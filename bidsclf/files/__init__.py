"""BIDS names and tables on disk; the only folder that knows pybids."""
