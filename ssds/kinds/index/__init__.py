"""The index kind: the releasable OCI image index over the platforms (C7, C11)."""
