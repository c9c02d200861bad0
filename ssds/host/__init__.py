"""The only room with subprocesses, namespaces, temporary files and durable writes."""
