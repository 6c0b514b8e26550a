"""What is tried again and what is not, and how either ends."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
import stamina

pytest.importorskip("qdrant_client", reason="pip install 'vectorplug[qdrant]' brings it")

from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from vectorplug_qdrant import patience
from vectorplug_qdrant.patience import NotThereError, patiently

from vectorplug.errors import StoreError, StoreUnavailableError

URL = "http://h:6333"


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=4):
        yield


class Refused(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "said so"


def answered(status: int, content: bytes = b'{"status":{"error":"said so"}}') -> UnexpectedResponse:
    return UnexpectedResponse(status, "reason", content, httpx.Headers())


PASSING = [
    ResponseHandlingException(httpx.ConnectError("refused")),
    ResponseHandlingException(httpx.ReadError("reset")),
    ResponseHandlingException(httpx.RemoteProtocolError("cut")),
    ResponseHandlingException(httpx.ReadTimeout("slow")),
    ResourceExhaustedResponse("busy", 3),
    *(answered(status) for status in (429, 500, 502, 503)),
    *(Refused(code) for code in sorted(patience.PASSING, key=str)),
]
LASTING = [
    ResponseHandlingException(ValueError("no such field")),
    ResponseHandlingException(httpx.UnsupportedProtocol("ftp")),
    *(answered(status) for status in (400, 401, 403, 404, 409, 413, 422)),
    Refused(grpc.StatusCode.INVALID_ARGUMENT),
    Refused(grpc.StatusCode.ALREADY_EXISTS),
    Refused(grpc.StatusCode.UNAUTHENTICATED),
    Refused(grpc.StatusCode.NOT_FOUND),
]


def failing(error: Exception, times: int) -> tuple[Callable[[], str], list[int]]:
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return call, calls


def name(error: Any) -> str:
    return (
        f"{type(error).__name__}-{getattr(error, 'status_code', getattr(error, '_code', getattr(error, 'source', '')))}"
    )


@pytest.mark.parametrize("error", PASSING, ids=name)
def test_what_passes_is_tried_again(error: Exception) -> None:
    call, calls = failing(error, times=2)
    assert patiently("Writing", URL, call, seconds=60) == "done"
    assert len(calls) == 3
    with pytest.raises(StoreUnavailableError, match=rf"Writing failed: .*{URL}.* goes on where it stopped"):
        patiently("Writing", URL, failing(error, times=9)[0], seconds=60)


@pytest.mark.parametrize("error", LASTING, ids=name)
def test_what_lasts_is_said_at_once(error: Exception) -> None:
    call, calls = failing(error, times=1)
    with pytest.raises(StoreError, match=rf"Writing failed: .*{URL}") as caught:
        patiently("Writing", URL, call, seconds=60)
    assert not isinstance(caught.value, StoreUnavailableError)
    assert calls == [1]


def test_the_server_says_how_long() -> None:
    assert patience._pause(ResourceExhaustedResponse("busy", 3)) == 3.0


def test_the_server_s_words_and_the_fix_are_in_the_message() -> None:
    def said(error: Exception) -> str:
        with pytest.raises(StoreError) as caught:
            patiently("Opening", URL, failing(error, times=9)[0], seconds=60)
        return str(caught.value)

    assert "422: said so" in said(answered(422))
    assert "400: Unexpected Response: 400 (reason)" in said(answered(400, b"<html>"))
    assert "INVALID_ARGUMENT: said so" in said(Refused(grpc.StatusCode.INVALID_ARGUMENT))
    assert "api_key" in said(answered(401))
    assert "api_key" in said(Refused(grpc.StatusCode.PERMISSION_DENIED))


@pytest.mark.parametrize("error", [answered(404), Refused(grpc.StatusCode.NOT_FOUND)], ids=name)
def test_what_is_not_there(error: Exception) -> None:
    with pytest.raises(NotThereError):
        patiently("Opening", URL, failing(error, times=1)[0], seconds=60)


def test_a_fault_of_the_program_is_left_as_it_is() -> None:
    with pytest.raises(KeyError):
        patiently("Opening", URL, failing(KeyError("x"), times=1)[0], seconds=60)
