"""Advisory sets: from public data to one dated file, and what its records mean."""
