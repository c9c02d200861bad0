"""Files that help machines to get a site's part of a tree from CVMFS, and no more. Pure.

Preloading a node's cache, exporting a part to a file system without CVMFS, and the client's own
configuration. Source: CernVM-FS documentation, "Setting up a local preloaded cache", "CernVM-FS
Shrinkwrap Utility", "Client Configuration".
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ssds.recipe.model import Site
from ssds.ship.tree import public_link, site_path

FOLDER = "cvmfs"
PRELOAD = f"{FOLDER}/preload.txt"
SHRINKWRAP = f"{FOLDER}/shrinkwrap.spec"
CLIENT = f"{FOLDER}/client.conf"


def client_files(site: Site, images: Iterable[str], inner: str) -> dict[str, bytes]:
    """Returns path → bytes of all of them, relative to the site's folder.

    Args:
        images: the folders of the site's images and data sets, relative to the tree.
        inner: the tree's folder in the repository; empty where it is its root.
    """
    preload = preload_text(site, images, inner)
    link = os.path.join("/", inner, public_link(site.name)[0])
    files = {PRELOAD: preload, SHRINKWRAP: preload + f"{link}\n".encode()}
    return {**files, **({CLIENT: text} if (text := client_text(site)) else {})}


def preload_text(site: Site, images: Iterable[str], inner: str = "") -> bytes:
    """Returns the list for ``cvmfs_preload -d``: real paths, for it follows no links.

    ``cvmfs_shrinkwrap --spec-file`` takes the same, and the site's link. Paths begin at the root of
    the repository.
    """
    paths = [*sorted(set(images)), site_path(site.name)]
    return "".join(f"{os.path.join('/', inner, path)}/*\n" for path in paths).encode()


def client_text(site: Site) -> bytes:
    """Returns the client's configuration of the repository; empty where the site names none."""
    client = site.cvmfs
    if client is None:
        return b""
    rows = [
        f"# Save as /etc/cvmfs/config.d/{client.repository}.local, then: cvmfs_config reload",
        f"# and add {client.repository} to CVMFS_REPOSITORIES in /etc/cvmfs/default.local.",
    ]
    if client.servers:
        urls = ";".join(f"{server.rstrip('/')}/@fqrn@" for server in client.servers)
        rows.append(f'CVMFS_SERVER_URL="{urls}"')
    rows.append(f'CVMFS_HTTP_PROXY="{"|".join(client.proxies) or "DIRECT"}"')
    if client.cache_mib:
        rows.append(f"CVMFS_QUOTA_LIMIT={client.cache_mib}")
    return ("\n".join(rows) + "\n").encode()
