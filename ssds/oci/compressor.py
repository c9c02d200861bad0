"""The one compressor of layers, by name and version; planning needs to know no more of it."""

COMPRESSOR = {"name": "gzip-deflate", "version": "zlib-1.2-level-6"}
"""Stands in the publish slice; a change of bytes needs a new version here."""
