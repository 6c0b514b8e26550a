"""Haystack reads at import whether it may report home."""

import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
