"""What ssds remembers: blobs by digest (an OCI image layout) and claims by action key (SQLite)."""
