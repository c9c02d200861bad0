"""Builders: what runs build steps. One plug (``plug``), three who fit it, one conformance suite.

``embedded`` is ssds's own sandbox; ``docker`` is a Docker Engine on this machine; ``buildah`` needs
no daemon. Who built is in the claim and in no key (C3): all must give the same layers.
"""

NAMES = ("embedded", "docker", "buildah")
