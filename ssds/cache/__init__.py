"""Remote caches: claims and their blobs by key, shared through a registry, a folder or a server."""
