"""Reports of what scans found: over findings that are there, without another scan."""
