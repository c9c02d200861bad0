"""What the settings name, made: mirrors, caches, trusted keys. Loaded when something asks."""

from __future__ import annotations

import os
from collections.abc import Callable

from ssds.cache import distrust
from ssds.cache.cache import Cache
from ssds.cache.place import open_place
from ssds.core.model import Claim
from ssds.host.mirrors import Mirrors, machine_mirrors
from ssds.recipe.settings import Settings
from ssds.trust.keys import PublicKey
from ssds.trust.open import read_public_files


def mirrors(settings: Settings) -> Mirrors:
    """Returns where archives are: the settings first, then what this machine's programs use."""
    named = settings.mirrors
    return machine_mirrors(
        debian=named.get("debian", ()),
        debian_security=named.get("debian-security", ()),
        pypi=named.get("pypi", ()),
        blobs=named.get("blobs", ()),
        conda=named.get("conda", ()),
        ca_bundle=settings.ca_bundle,
        proxy=settings.proxy,
        url_prefixes=settings.upstream,
        images=settings.images,
    )


def caches(settings: Settings, state_folder: str) -> list[Cache]:
    """Returns the remote caches, not yet asked."""
    access = {"ca_bundle": settings.ca_bundle, "proxy": settings.proxy}
    return [
        Cache(
            one.name,
            open_place(one.location, insecure=one.insecure, limit_s=one.timeout_s, **access),
            os.path.join(state_folder, "cache", one.name),
            impure=one.impure,
            signed=one.trust == "signed",
            keys=_trusted(settings),
            limit_s=one.timeout_s,
        )
        for one in settings.caches
    ]


def counting(settings: Settings) -> Callable[[Claim], bool]:
    """Returns whether a claim of the store counts, as ``ssds.cache.distrust.counting`` does."""
    return distrust.counting(settings.signed_caches, _trusted(settings))


def _trusted(settings: Settings) -> Callable[[], tuple[PublicKey, ...]]:
    """Returns the reader of the keys whose signatures count."""
    return lambda: read_public_files(settings.trust.keys)
