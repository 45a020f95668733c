"""Requests over kept connections, with so little of a client that the server is what is measured."""

import asyncio
import json
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Load(NamedTuple):
    """Requests a second; median and 99th percentile in milliseconds."""

    per_second: float
    p50: float
    p99: float


def measure(port: int, bodies: Iterable[dict[str, Any]], clients: int) -> Load:
    """POSTs each of `bodies` to /v1/chat/completions, from `clients` connections at once, as one comes free.

    Raises RuntimeError for an answer that is not 200.
    """
    requests = [_request(port, body) for body in bodies]
    start = time.perf_counter()
    times = asyncio.run(_all(port, iter(requests), clients))
    whole = time.perf_counter() - start
    p99 = statistics.quantiles(times, n=100)[98]
    return Load(len(times) / whole, statistics.median(times) * 1000, p99 * 1000)


def _request(port: int, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def _all(port: int, requests: Iterator[bytes], clients: int) -> list[float]:
    several = await asyncio.gather(*(_client(port, requests) for _ in range(clients)))
    return [took for times in several for took in times]


async def _client(port: int, requests: Iterator[bytes]) -> list[float]:
    """Takes its requests from an iterator that all clients share."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    for request in requests:
        start = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(head.decode())
        length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - start)
    writer.close()
    return times
