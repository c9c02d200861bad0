"""Reference data sets of a deployed tree: their files by digest, modules, Galaxy's tables."""
