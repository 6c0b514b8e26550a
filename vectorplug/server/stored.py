"""Token vectors that the operator keeps beside the server, for `POST /v1/score`."""

from collections.abc import Mapping

from starlette.requests import Request

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.multivectors import MultiVectors

__all__ = ["held_stored", "open_stored"]


def open_stored(files: Mapping[str, str]) -> dict[str, MultiVectors]:
    """NAME -> what `MultiVectors.save` wrote, memory-mapped; ConfigurationError where a file cannot be used."""
    opened = {}
    for name, file in files.items():
        try:
            opened[name] = MultiVectors.open(file)
        except (OSError, InputError) as error:
            raise ConfigurationError(
                f"the stored vectors {name!r} cannot be opened: {error} Expected a file of MultiVectors.save()."
            ) from error
    return opened


async def held_stored(request: Request) -> Mapping[str, MultiVectors]:
    """The stored vectors of the server that this request came to."""
    stored: Mapping[str, MultiVectors] = request.app.state.stored
    return stored
