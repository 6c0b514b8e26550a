"""Settings as variables and as options of the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from vectorplug.errors import ConfigurationError
from vectorplug.server.serve import keys_of
from vectorplug.settings import settings


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_lists_and_names_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTORPLUG_ALLOW_MODELS", "minilm, mine=/models/a ,alias=org/name@main")
    monkeypatch.setenv("VECTORPLUG_API_KEYS", "key-one, key-two,")
    found = settings()
    assert found.allow_models == {"minilm": "minilm", "mine": "/models/a", "alias": "org/name@main"}
    assert keys_of(found) == ["key-one", "key-two"]
    assert "key-one" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "70000"), ("PORT", "http"), ("REQUEST_TIMEOUT", "0"), ("MAX_TEXTS", "-1")]
)
def test_a_variable_that_cannot_be_used_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"VECTORPLUG_{name}", value)
    with pytest.raises(ConfigurationError, match=f"VECTORPLUG_{name}"):
        settings()


def test_options_go_before_variables_and_are_checked_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTORPLUG_PORT", "1234")
    monkeypatch.setenv("VECTORPLUG_HOST", "::1")
    chosen = settings().with_(port=4321, allow_models="a=b")
    assert (chosen.port, chosen.host, chosen.allow_models) == (4321, "::1", {"a": "b"})
    with pytest.raises(ConfigurationError, match="VECTORPLUG_PORT"):
        settings().with_(port=-1)


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first\n\n second \n")
    assert keys_of(settings().with_(api_keys="zero", api_key_file=keys)) == ["zero", "first", "second"]
    keys.write_text("\n")
    with pytest.raises(ConfigurationError, match="holds no key"):
        keys_of(settings().with_(api_key_file=keys))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        keys_of(settings().with_(api_key_file=tmp_path / "nothing"))
