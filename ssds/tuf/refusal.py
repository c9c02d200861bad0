"""Why a repository's state is not taken, in words: frozen, rolled back, other keys, other bytes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ssds.core.errors import EnvironmentProblem, IntegrityError, SsdsError, UnavailableError

STAYS = "Nothing was taken; the state before stays."


@contextlib.contextmanager
def explained(place: str, memory: str) -> Iterator[None]:
    """Turns what python-tuf's client raises in the block into errors of ours.

    Raises:
        IntegrityError: X070 rolled back, X071 frozen, X072 other keys, X073 other bytes, X074 too
            long, X075 no metadata.
        UnavailableError: X076. EnvironmentProblem: X077.
    """
    from tuf.api import exceptions

    try:
        yield
    except SsdsError:
        raise
    except exceptions.BadVersionNumberError as error:
        raise IntegrityError(
            f"{place} was rolled back: {error}",
            hint=f"{STAYS} A newer state was seen here before: somebody put an older one in its "
            "place, or the mirror lags behind. Ask its keeper, or take another mirror.",
            code="X070",
        ) from error
    except exceptions.ExpiredMetadataError as error:
        raise IntegrityError(
            f"{place} is frozen: {error}",
            hint=f"{STAYS} Nobody renewed it in time, or the mirror holds newer states back. Check "
            "this machine's clock, ask its keeper, or take another mirror.",
            code="X071",
        ) from error
    except exceptions.UnsignedMetadataError as error:
        raise IntegrityError(
            f"{place} is signed by other keys, or by too few: {error}",
            hint=f"{STAYS} It is forged, or the roots in between are lacking where keys changed.",
            code="X072",
        ) from error
    except exceptions.LengthOrHashMismatchError as error:
        raise IntegrityError(
            f"{place} gives other bytes than were signed: {error}",
            hint=f"{STAYS} The mirror mixes states, or is damaged or forged.",
            code="X073",
        ) from error
    except exceptions.DownloadLengthMismatchError as error:
        raise IntegrityError(
            f"{place} gives more bytes than were signed: {error}", hint=STAYS, code="X074"
        ) from error
    except exceptions.DownloadError as error:
        raise UnavailableError(
            f"{place} cannot be read: {error}",
            hint=f"{STAYS} Check the address and the network.",
            code="X076",
        ) from error
    except exceptions.RepositoryError as error:
        raise IntegrityError(
            f"{place} gives no metadata that holds together: {error}",
            hint=f"{STAYS} It is damaged or forged.",
            code="X075",
        ) from error
    except OSError as error:
        raise EnvironmentProblem(
            f"{os.path.dirname(memory)} cannot be written or read: {error.strerror or error}",
            hint="Check the permissions and the space; nothing half-written counts.",
            code="X077",
        ) from error
