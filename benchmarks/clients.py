"""The contenders, and what each is made to do in a process of its own.

``run.py`` starts this file as ``clients.py CONTENDER URL`` and gives it jobs, one
JSON list a line, such as ``["cpu", "small", "sse", 1]``; the answer is one JSON number
a line.  So no contender's imports, heap or garbage weigh on another's figures.
"""

import gc
import importlib
import json
import sys
import threading
import time
from functools import partial
from typing import Any, Callable, Dict, Iterator, List

from bodies import IMAGE_BASE64, MANY_CHUNKS, SMALL_CHUNKS

KEY = "a-key-for-benchmarks"
QUESTION = "Tell me a story about a lighthouse"


# The contenders ----------------------------------------------------------------


def floor(
    url: str,
    model: str,
    alt: str,
    media: Any = None,
    timeout: Any = None,
    post: Any = None,
    question: str = QUESTION,
) -> Iterator[Any]:
    """The least that a `requests` program can do: one framing, no types and no checks.

    It is tuned, not naive: events that came together are split together, and the
    pieces of a large one are put together once.

    :param timeout: as in requests; without one, it waits forever for a server that is silent.
    :param post: default: `requests.post`.
    """
    import requests

    url = f"{url}/v1beta/models/{model}:streamGenerateContent?alt=sse"
    body = {"contents": [{"parts": [{"text": question}], "role": "user"}]}
    headers = {"x-goog-api-key": KEY}
    with (post or requests.post)(url, json=body, headers=headers, stream=True, timeout=timeout) as response:
        pieces: List[bytes] = []
        for piece in response.iter_content(chunk_size=None):
            pieces.append(piece)
            if piece.endswith(b"\n"):  # an event may be over; JSON on one line has no other
                *events, rest = b"".join(pieces).split(b"\r\n\r\n")
                pieces = [rest]
                for event in events:
                    yield json.loads(event[len("data: ") :].decode())


def geministream(url: str, model: str, alt: str, media: Any = None) -> Iterator[Any]:
    """As in README.rst: each call has a session of its own, like `requests.post`."""
    from geministream import part_from_path, stream_generate

    contents = QUESTION if media is None else [QUESTION, part_from_path(media)]
    return stream_generate(model, contents, alt=alt, endpoint=url, api_key=KEY)


_clients: Dict[str, Any] = {}


def google_genai(url: str, model: str, alt: str, media: Any = None) -> Iterator[Any]:
    """The official SDK; its client, which takes long to make, is made once for all calls."""
    genai = importlib.import_module("google.genai")
    if url not in _clients:
        _clients[url] = genai.Client(api_key=KEY, http_options={"base_url": url})
    chunks: Iterator[Any] = _clients[url].models.generate_content_stream(model=model, contents=QUESTION)
    return chunks


CONTENDERS: Dict[str, Callable[..., Iterator[Any]]] = {
    "floor": floor,
    "floor with timeouts": partial(floor, timeout=(10, 60)),
    "geministream": geministream,
    "google-genai": google_genai,
}


# The jobs ----------------------------------------------------------------------


class Client:
    """One contender at work; every public method is a job."""

    def __init__(self, contender: str, url: str) -> None:
        self._contender = contender
        self._url = url

    def _start(self, model: str, alt: str, media: Any = None) -> Iterator[Any]:
        return CONTENDERS[self._contender](self._url, model, alt, media)

    def _stream(self, model: str, alt: str, media: Any = None) -> None:
        """One complete answer, read as its caller would; the floor's caller looks at nothing."""
        count = 0
        chunks = self._start(model, alt, media)
        if self._contender.startswith("floor"):
            for _ in chunks:
                count += 1
        elif model.startswith("image"):
            for chunk in chunks:
                assert len(chunk.candidates[0].content.parts[0].inline_data.data) == IMAGE_BASE64 // 4 * 3
                count += 1
        else:
            for chunk in chunks:
                chunk.text  # noqa: B018  as a caller reads it
                count += 1
        expected = 1 if model.startswith(("image", "one")) else SMALL_CHUNKS
        assert count == expected, f"{count} chunks instead of {expected}"

    def cpu(self, model: str, alt: str, times: int) -> float:
        """Seconds of CPU, user and system, for one answer; the mean of several."""
        gc.collect()
        start = time.process_time()
        for _ in range(times):
            self._stream(model, alt)
        return (time.process_time() - start) / times

    def first_chunk(self, model: str, times: int) -> float:
        """Seconds from the call to the first chunk; the best of several, as noise only adds."""
        seconds = []
        for _ in range(times):
            start = time.perf_counter()
            chunks = self._start(model, "sse")
            next(chunks)
            seconds.append(time.perf_counter() - start)
            chunks.close()  # type: ignore[attr-defined]
        return min(seconds)

    def throughput(self, model: str, threads: int) -> float:
        """Chunks in a second with so many threads, each with an answer of its own."""
        workers = [threading.Thread(target=self._stream, args=(model, "sse")) for _ in range(threads)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return threads * SMALL_CHUNKS / (time.perf_counter() - start)

    def batch(self, model: str, count: int, workers: int) -> float:
        """Prompts in a second, so many workers at once, each keeping its connection."""
        start = time.perf_counter()
        if self._contender == "floor":
            self._bare_threads(model, count, workers)
        else:
            from geministream import generate_many

            prompts = (f"{QUESTION} {number}" for number in range(count))
            results = generate_many(
                prompts, model=model, endpoint=self._url, api_key=KEY, max_workers=workers
            )
            assert sum(bool(result.text) for result in results) == count
        return count / (time.perf_counter() - start)

    def _bare_threads(self, model: str, count: int, workers: int) -> None:
        """Threads that share the numbers of the prompts, with a session each."""
        import requests

        numbers = iter(range(count))

        def work() -> None:
            with requests.Session() as session:
                for number in numbers:
                    chunks = floor(
                        self._url, model, "sse", post=session.post, question=f"{QUESTION} {number}"
                    )
                    assert "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks)

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def peak_memory(self, model: str, alt: str, media: Any) -> int:
        """Bytes that the process grows by at most, in a fresh process, after a first small call."""
        self._stream("one", "sse")
        before = _memory("VmRSS")
        self._stream(model, alt, media)
        return _memory("VmHWM") - before

    def growth(self, model: str) -> int:
        """Bytes between chunk 10,000 and the end."""
        count = 0
        before = 0
        for _ in self._start(model, "sse"):
            count += 1
            if count == 10_000:
                before = _memory("VmRSS")
        assert count == MANY_CHUNKS
        return _memory("VmRSS") - before

    def framing(self, kind: str, size: int, piece: int) -> float:
        """Seconds of CPU for framing alone, the body being fed in pieces of so many bytes."""
        from bodies import array, image_chunk, small_chunk, sse

        from geministream.wire.framing import Framing

        write = sse if kind.startswith("sse") else array
        chunks = [image_chunk(size)] if kind.endswith("image") else [small_chunk()] * size
        body = b"".join(write(*chunks))
        pieces = [body[start : start + piece] for start in range(0, len(body), piece)]
        gc.collect()
        start = time.process_time()
        framing = Framing()
        count = 0
        for data in pieces:
            for _ in framing.feed(data):
                count += 1
        for _ in framing.close():
            count += 1
        seconds = time.process_time() - start
        assert count == len(chunks)
        return seconds


def _memory(what: str) -> int:
    """VmRSS, the resident memory in bytes, or VmHWM, the most that it ever was."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(what):
                return int(line.split()[1]) * 1024
    raise ValueError(what)


def main() -> None:
    client = Client(*sys.argv[1:])
    for line in sys.stdin:
        job, *arguments = json.loads(line)
        print(json.dumps(getattr(client, job)(*arguments)), flush=True)


if __name__ == "__main__":
    main()
