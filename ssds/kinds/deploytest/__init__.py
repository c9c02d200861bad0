"""The deploytest kind: whether what a release offers can be used where it is deployed."""
