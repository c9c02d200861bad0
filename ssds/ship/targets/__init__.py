"""Where a tree is written to: one plug, several places."""
