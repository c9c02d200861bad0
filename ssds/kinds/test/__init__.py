"""The test kind: the recipe's tests, run in the built image without network."""
