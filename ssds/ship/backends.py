"""Opens channels: each kind's backend by its name."""

from __future__ import annotations

import os

from ssds.core.errors import InvalidValue, Refused
from ssds.recipe.model import Channel
from ssds.ship.channels import split_location
from ssds.ship.plug import Backend


def open_channel(
    channel: Channel, workspace: str, *, ca_bundle: str = "", proxy: str = ""
) -> Backend:
    """Returns the backend of a channel; nothing is contacted yet.

    Args:
        channel: kind and location.
        workspace: the folder that a layout's location is relative to.
        ca_bundle: a PEM file of further authorities; proxy: an address, or the empty string.
    """
    if channel.kind == "layout":
        from ssds.ship.backend_layout import LayoutChannel

        place = os.path.join(os.path.realpath(workspace), channel.location)
        if os.path.realpath(place) != place:
            raise Refused(
                f"the folder {channel.location} of the channel {channel.name} lies behind a link",
                hint="Write its real place below the workspace into channels.yaml.",
                code="D033",
            )
        return LayoutChannel(place)
    if channel.kind == "registry":
        from ssds.oci.registry import Registry
        from ssds.ship.backend_registry import RegistryChannel

        host, prefix = split_location(channel.location)
        registry = Registry(host, insecure=channel.insecure, ca_bundle=ca_bundle, proxy=proxy)
        return RegistryChannel(registry, prefix)
    if channel.kind == "objects":
        from ssds.objects.address import parse_address
        from ssds.objects.plug import open_store
        from ssds.oci.transport import Access
        from ssds.ship.backend_objects import ObjectsChannel

        access = Access(insecure=channel.insecure, ca_bundle=ca_bundle, proxy=proxy)
        return ObjectsChannel(open_store(parse_address(channel.location), access))
    raise InvalidValue(
        f"the channel {channel.name} is of the unknown kind {channel.kind!r}",
        hint="Use layout, registry or objects.",
        code="D032",
    )
