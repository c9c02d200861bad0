"""One module for each recipe format that can be read."""
