"""Many connections that each send a request of one text as soon as they have the last answer."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np


@dataclass
class Load:
    """What `connections` clients got in `seconds`: how many answers of each status, and how long the good ones took."""

    connections: int
    seconds: float = 0.0
    texts_a_request: int = 1
    statuses: Counter[int | str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def requests_a_second(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def texts_a_second(self) -> float:
        return self.requests_a_second * self.texts_a_request

    def milliseconds(self, percentile: float) -> float:
        return float(np.percentile(self.latencies, percentile)) * 1000 if self.latencies else float("nan")


def load(
    url: str, model: str, texts: Sequence[str], *, connections: int, seconds: float, texts_a_request: int = 1
) -> Load:
    """Requests in OpenAI's format at `url` (its whole path) for so long."""
    bodies = [
        json.dumps({"model": model, "input": list(texts[i : i + texts_a_request]), "encoding_format": "float"}).encode()
        for i in range(0, len(texts) - texts_a_request + 1, texts_a_request)
    ]
    found = Load(connections, texts_a_request=texts_a_request)
    asyncio.run(_run(url, itertools.cycle(bodies), found, seconds))
    return found


async def _run(url: str, bodies: Iterator[bytes], found: Load, seconds: float) -> None:
    started = time.perf_counter()
    await asyncio.gather(*(_client(url, bodies, found, started + seconds) for _ in range(found.connections)))
    found.seconds = time.perf_counter() - started


async def _client(url: str, bodies: Iterator[bytes], found: Load, until: float) -> None:
    """One connection; plain streams, because a client library would cost as much as a small server."""
    place = urlsplit(url)
    assert place.hostname is not None
    head = f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\nContent-Length: "
    connection = None
    while time.perf_counter() < until:
        try:
            if connection is None:
                connection = await asyncio.open_connection(place.hostname, place.port)
            reader, writer = connection
            body = next(bodies)
            began = time.perf_counter()
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            found.statuses[type(error).__name__] += 1
            connection = None
            await asyncio.sleep(0.1)
            continue
        status = int(lines[0].split()[1])
        found.statuses[status] += 1
        if status == 200:
            found.latencies.append(time.perf_counter() - began)
        else:  # a client that is told to come back later does not come back at once
            await asyncio.sleep(0.2)
    if connection is not None:
        connection[1].close()
