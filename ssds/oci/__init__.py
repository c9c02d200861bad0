"""Images as the OCI specifications say: types, layers, layouts, registries. Verified both ways."""
