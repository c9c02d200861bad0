"""What shapes the bytes of a SIF, by name and version; planning needs to know no more of it."""

from ssds.oci.compressor import COMPRESSOR

FORMAT = {"name": "sif-squashfs", "version": "1", "compressor": COMPRESSOR["version"]}
"""Stands in the sif slice; a change of bytes needs a new version here."""
