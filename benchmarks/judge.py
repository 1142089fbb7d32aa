"""How much of a judge server's throughput does asking reach, and how much faster is that than asking one by one?

Contestants, alternated in rounds on the same server and other questions each time:

- `saturation`: the server's own curve, by plain HTTP clients in 1, 2, 4, … closed loops; its best point is the ceiling;
- `ask`: judges.ask with the backend `openai`, finding its concurrency by itself;
- `one by one`: the loop of the book's chapter 7, one question after the other.

The server is a stand-in with a known shape: `slots` questions at a time, `seconds` each, in a process of its own (else
it would share the clients' interpreter lock); or `--url` for a real one. It ends with one JSON line. Needs the
repository: `python -m benchmarks.judge`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from judges.ask import ask
from judges.base import Request, load_judge
from judges.questions import PlannedRequest
from tests.servers.chaos import completion
from tests.servers.loopback import Asked, Said, serve

CURVE = (1, 2, 4, 8, 16, 32)
FRESH = count()
"""Every question is new: no cache of the server may answer."""


def stand_in(slots: int, seconds: float) -> Callable[[Asked], Said]:
    """A server that answers so many questions at a time."""
    gate = threading.Semaphore(slots)
    said = Said.of(completion('{"score": 3}'))

    def answer(_: Asked) -> Said:
        with gate:
            time.sleep(seconds)
        return said

    return answer


def _serve(slots: int, seconds: float, address: Any) -> None:
    with serve(stand_in(slots, seconds)) as server:
        address.send(server.address)
        address.recv()  # until the parent has done


@contextmanager
def own_process(slots: int, seconds: float) -> Iterator[str]:
    """The stand-in's address, while it runs."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(slots, seconds, there), daemon=True)
    process.start()
    yield here.recv()
    here.send("done")
    process.join()


def questions(n: int) -> list[PlannedRequest]:
    """New questions."""
    return [
        PlannedRequest(Request("Grade from 1 to 5.", f"Answer number {next(FRESH)}.", None, 8), f"e{i}", 0, 0)
        for i in range(n)
    ]


def plain(url: str, model: str, n: int, clients: int) -> float:
    """Questions a second of plain clients, each asking again as soon as it is answered."""
    address = urlsplit(url)
    local = threading.local()

    def put(each: PlannedRequest) -> None:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=600)
        messages = [{"role": "system", "content": each.request.system}, {"role": "user", "content": each.request.user}]
        body = {"model": model, "messages": messages, "max_tokens": 8, "temperature": 0}
        path = f"{address.path.rstrip('/')}/chat/completions"
        local.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        local.connection.getresponse().read()

    with ThreadPoolExecutor(clients) as pool:
        began = time.perf_counter()
        list(pool.map(put, questions(n)))
        return n / (time.perf_counter() - began)


def asked(url: str, model: str, n: int) -> float:
    """Questions a second of judges.ask."""
    judge = load_judge("openai", model, {"base_url": url, "logprobs": False, "timeout": 600.0})
    began = time.perf_counter()
    tally = ask(judge, questions(n), on_reply=lambda row: None)
    seconds = time.perf_counter() - began
    judge.close()
    return tally.outcomes / seconds


def main() -> None:
    """Run the rounds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="base URL of a real OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="m")
    parser.add_argument("--slots", type=int, default=8, help="stand-in: questions at a time")
    parser.add_argument("--seconds", type=float, default=0.05, help="stand-in: seconds a question")
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    server = own_process(given.slots, given.seconds) if given.url is None else nullcontext("")
    with server as address:
        measure(given, given.url or f"{address}/v1")


def measure(given: Any, url: str) -> None:
    """Alternate the contestants, then print each and the ratios of their medians."""
    curve: dict[int, list[float]] = {clients: [] for clients in CURVE}
    ours: list[float] = []
    single: list[float] = []
    for _ in range(given.rounds):
        for clients, rates in curve.items():
            rates.append(plain(url, given.model, max(clients * 4, given.items * clients // max(CURVE)), clients))
        ours.append(asked(url, given.model, given.items))
        single.append(plain(url, given.model, max(8, given.items // 20), 1))
    medians = {clients: statistics.median(rates) for clients, rates in curve.items()}
    for clients, rate in medians.items():
        print(f"saturation, {clients:>2} clients  {rate:8.1f} questions/s")
    print(f"ask                     {statistics.median(ours):8.1f} questions/s  ({min(ours):.1f} to {max(ours):.1f})")
    print(f"one by one              {statistics.median(single):8.1f} questions/s")
    result = {
        "name": "judge",
        "ratio": round(statistics.median(ours) / max(medians.values()), 3),
        "speedup_vs_sequential": round(statistics.median(ours) / statistics.median(single), 2),
        "server": given.url or f"stand-in, {given.slots} slots of {given.seconds} s",
        "items": given.items,
        "rounds": given.rounds,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}",
        "versions": {"python": platform.python_version(), "openai": version("openai")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
