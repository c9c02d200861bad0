"""The kind ``source``: one file, fixed by its sha256."""
