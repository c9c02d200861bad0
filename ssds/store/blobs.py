"""The store's blobs: ``blobs/sha256`` of an OCI image layout (contract C2, C4)."""

from ssds.oci.blobs import READ_LIMIT_BYTES, Blobs, BlobWriter

__all__ = ["READ_LIMIT_BYTES", "BlobWriter", "Blobs"]
