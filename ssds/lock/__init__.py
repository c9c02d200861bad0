"""The narrow waist: lock files, read, written, made and merged."""
