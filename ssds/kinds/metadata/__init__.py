"""The metadata kind: every descriptive field as one canonical blob, in no image (C13)."""
