"""Matches an SBOM against a pinned advisory set; gives findings, no verdict."""
