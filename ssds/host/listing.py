"""The order in which a folder lists its names, and how it is turned round."""

from __future__ import annotations

import os
import secrets

from ssds.host.files import explained

_NAMES = 64


def listing_order(folder: str) -> tuple[int, ...]:
    """Returns in which order ``folder``'s file system lists names that were made in order.

    Two file systems with another order here are another order of readdir to a step.
    """
    place = os.path.join(folder, f"order-{secrets.token_hex(4)}")
    with explained(place):
        os.makedirs(place)
        try:
            for number in range(_NAMES):
                with open(os.path.join(place, f"name-{number}"), "xb"):
                    pass
            return tuple(int(name.rpartition("-")[2]) for name in os.listdir(place))
        finally:
            for name in os.listdir(place):
                os.unlink(os.path.join(place, name))
            os.rmdir(place)


def can_reverse(order: tuple[int, ...]) -> bool:
    """Whether names of such an order are listed as they came in, and not by their hash."""
    return order in (tuple(range(_NAMES)), tuple(reversed(range(_NAMES))))


def reverse_listing(folder: str) -> bool:
    """Makes every folder below ``folder`` list its names the other way round; times stay.

    Each name is taken out and put back in another order. Returns False, and changes nothing, where
    the file system lists names by their hash.
    """
    order = listing_order(os.path.dirname(folder))
    if not can_reverse(order):
        return False
    newest_first = order[0] != 0
    held = f"{folder}.order"
    os.mkdir(held, 0o700)
    for path, _, _ in os.walk(folder, topdown=False):
        names = os.listdir(path)
        known = os.lstat(path)
        for name in names:
            os.rename(os.path.join(path, name), os.path.join(held, name))
        for name in names if newest_first else reversed(names):
            os.rename(os.path.join(held, name), os.path.join(path, name))
        os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
    os.rmdir(held)
    return True
