"""The document in which ssds noted what it saw and wrote in a place; a hint, never a proof."""

from __future__ import annotations

from ssds.core.errors import IntegrityError
from ssds.oci.answers import RegistryError
from ssds.ship.observation import Observation, parse_observation
from ssds.ship.plug import Backend


def read_state(backend: Backend) -> Observation | None:
    """Returns the state; None where it cannot be read or used: then everything is looked at.

    Raises:
        RegistryError: the place gives no answer at all.
    """
    try:
        data = backend.read_state()
    except RegistryError as error:
        if error.status == 0:
            raise
        return None
    except IntegrityError:
        return None
    return parse_observation(data) if data is not None else None
