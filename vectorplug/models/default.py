"""Which model is used when nobody names one."""

import importlib.util

from huggingface_hub import HfApi, constants, try_to_load_from_cache

from vectorplug.errors import ModelNotFoundError
from vectorplug.models.catalog import catalog

__all__ = ["default_model", "hub_answers"]

COLBERT = "answerai-colbert-small"
PACKAGED = "minilm"
HUB_SECONDS = 3


def default_model() -> str:
    """A trained ColBERT where this machine has it or can fetch it, else the MiniLM of an installed package."""
    colbert = catalog()[COLBERT]
    if isinstance(try_to_load_from_cache(colbert.id, "config.json"), str) or hub_answers(colbert.id):
        return COLBERT
    packaged = catalog()[PACKAGED]
    if importlib.util.find_spec(packaged.id.removeprefix("package:")) is not None:
        return PACKAGED
    raise ModelNotFoundError(
        f"no model was named, the hub cannot be reached for {colbert.id}, and no packaged model is installed: "
        f"pip install '{packaged.install}', or name a folder with --model."
    )


def hub_answers(model_id: str) -> bool:
    """Whether the hub tells of this model within seconds; False offline, whatever the reason."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        HfApi().model_info(model_id, timeout=HUB_SECONDS)
    except Exception:  # noqa: BLE001 - every kind of network failure means the same here
        return False
    return True
