"""One folder for each kind of node: what it is (spec) and how it runs (run)."""
