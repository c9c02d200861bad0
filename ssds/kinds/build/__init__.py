"""The build kind: steps on a base give uncompressed layers and an image config."""
