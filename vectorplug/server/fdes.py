"""The FDEs that the operator gave to models, and the default one of all others."""

from collections.abc import Mapping

from vectorplug.compressor import Compressor, check_made_for, family_of
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.lemur import Lemur
from vectorplug.models.encoder import Facts
from vectorplug.muvera import Muvera
from vectorplug.server.names import Names
from vectorplug.vectorizer import default_fde

__all__ = ["fde_of", "open_fdes"]


def open_fdes(said: Mapping[str, str], names: Names) -> dict[str, Compressor]:
    """Model -> its FDE, of NAME -> a file of `Lemur.save` or a fingerprint of MUVERA; "" is the default model's name.

    ConfigurationError where a file cannot be used, or two names of one model say different things.
    """
    opened: dict[str, Compressor] = {}
    for name, wanted in said.items():
        fde = _opened(wanted)
        model = names.wanted(name).model
        if opened.setdefault(model, fde).fingerprint != fde.fingerprint:
            raise ConfigurationError(
                f"{model} is to have the FDEs {opened[model].fingerprint} and {fde.fingerprint}: give it one."
            )
    return opened


def fde_of(facts: Facts, given: Compressor | None) -> Compressor:
    """What folds that model's tokens: `given`, or the default. ConfigurationError where that is of another model."""
    if given is None:
        return default_fde(facts.token_dim)
    check_made_for(given, facts.name, facts.fingerprint, facts.token_dim)
    return given


def _opened(said: str) -> Compressor:
    if family_of(said) == "muvera" and ":" in said:
        return Muvera.from_fingerprint(said)
    try:
        return Lemur.open(said)
    except (OSError, InputError) as error:
        raise ConfigurationError(
            f"the FDE {said!r} cannot be opened: {error} Expected a file of Lemur.save(), or a fingerprint of MUVERA "
            "such as muvera1:fastembed:d128:r20:k5:p16:s42:nofill."
        ) from error
