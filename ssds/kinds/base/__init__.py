"""The kind ``base``: a minimal Debian system, bootstrapped offline from exactly pinned packages."""
