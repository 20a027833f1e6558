"""Every framing, every way to send a body, every fault: the complete chunks, then the right exception.

A cell is one stream over a real socket.  What must come out of it is worked out
here from the bytes that are sent, by other means than the library's.  What was
complete is delivered; all of it, unless the connection is reset, for a reset
may take bytes away from the receiver that had arrived.
"""

import dataclasses
import gzip
import itertools
import json
import threading
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.long_form import sample

from geministream import GeministreamError, stream_generate
from geministream.testing import Answer, LocalServer

TEXTS = ["a", "é", "c"]  # the second is of two bytes, which a cut divides


def chunk(text, finish=None):
    candidate = {"content": {"parts": [{"text": text}]}}
    if finish:
        candidate["finishReason"] = finish
    return json.dumps({"candidates": [candidate]}, ensure_ascii=False, separators=(",", ":")).encode()


CHUNKS = [chunk("a"), chunk("é"), chunk("c", "STOP")]
BODIES = {
    "SSE": b"".join(b"data: " + each + b"\r\n\r\n" for each in CHUNKS),
    "array": b"[" + b"\n,\r\n".join(CHUNKS) + b"\n]\n",
}
TRANSFERS = ["chunked", "length", "close", "gzip"]
cells = Counter()


@pytest.fixture(scope="module")
def matrix_server():
    with LocalServer(keep_requests=10) as server:
        yield server


class Cell:
    """Asks for one stream that is sent in a certain way."""

    def __init__(self, server, framing, transfer, timeout=(10, 10)):
        self._server = server
        self._endpoint = dataclasses.replace(server.endpoint, retry=None, timeout=timeout)
        self.framing = framing
        self.transfer = transfer

    def run(self, body, **fault):
        """The texts that came, and the name of the exception, or None."""
        packed = self.transfer == "gzip"
        self._server.queue(
            Answer(body=body, transfer="chunked" if packed else self.transfer, gzip=packed, **fault)
        )
        texts = []
        try:
            for each in stream_generate(
                "m", "x", endpoint=self._endpoint, alt="sse" if self.framing == "SSE" else "json"
            ):
                texts.append(each.text)
        except GeministreamError as error:
            assert str(error)
            return texts, type(error).__name__
        return texts, None

    def count(self, fault):
        cells[self.framing, self.transfer, fault] += 1

    def sent(self, body):
        """The body's bytes as they are sent."""
        if self.transfer != "gzip":
            return body
        squeeze = zlib.compressobj(wbits=31)  # as LocalServer does
        return squeeze.compress(body) + squeeze.flush(zlib.Z_SYNC_FLUSH) + squeeze.flush()

    def cuts(self, body):
        """After which of the bytes sent the body is cut: the ways to send it share them, until all are run."""
        return sample(range(len(self.sent(body)) + 1), len(TRANSFERS), first=TRANSFERS.index(self.transfer))

    def complete_in(self, body, cut):
        """The texts of the chunks that are complete in the first ``cut`` bytes sent, and whether the body is."""
        sent = self.sent(body)
        plain = zlib.decompressobj(wbits=31).decompress(sent[:cut]) if self.transfer == "gzip" else body[:cut]
        texts = [text for text, each in zip(TEXTS, CHUNKS) if each in plain]
        closed = len(plain) > body.rindex(b"]") if self.framing == "array" else len(texts) == 3
        return texts, closed


@pytest.fixture(params=[(f, t) for f in BODIES for t in TRANSFERS], ids=lambda pair: "-".join(pair))
def cell(request, matrix_server):
    return Cell(matrix_server, *request.param)


def test_the_packed_body_is_what_the_server_sends(matrix_server):
    cell = Cell(matrix_server, "SSE", "gzip")
    assert gzip.decompress(cell.sent(BODIES["SSE"])) == BODIES["SSE"]
    assert cell.run(BODIES["SSE"]) == (TEXTS, None)
    matrix_server.wait_until(lambda: matrix_server.requests[-1].finished.is_set())
    assert matrix_server.requests[-1].bytes_sent == len(cell.sent(BODIES["SSE"]))


def test_complete_body(cell):
    for piece in (None, 1, 2, 7):
        assert cell.run(BODIES[cell.framing], piece_bytes=piece) == (TEXTS, None)
        cell.count("whole")


@pytest.mark.parametrize("how", ["end", "drop"])
def test_cut_at_every_byte(cell, how):
    body = BODIES[cell.framing]
    length = len(cell.sent(body))
    for cut in cell.cuts(body):
        texts, closed = cell.complete_in(body, cut)
        # Whether HTTP says that this was all: then the body alone can tell.
        believable = {
            "chunked": how == "end",
            "length": cut == length,
            "close": True,
            "gzip": how == "end" and cut == length,
        }[cell.transfer]
        expected = None if believable and closed else "IncompleteStreamError"
        assert cell.run(body, stop_after=cut, stop_how=how) == (texts, expected), f"cut after {cut} bytes"
        cell.count(f"cut, {how}")


def test_reset_at_every_byte(cell):
    body = BODIES[cell.framing]
    length = len(cell.sent(body))
    for cut in cell.cuts(body):
        texts, _ = cell.complete_in(body, cut)
        came, error = cell.run(body, stop_after=cut, stop_how="reset")
        assert came == texts[: len(came)], f"reset after {cut} bytes"
        if error is None:  # all had been read before the reset came
            assert came == TEXTS and cut == length
        else:
            assert error == "IncompleteStreamError" or error == "TransportError" and came == []
        cell.count("reset")


def test_reset_after_what_was_read(cell):
    """Nothing is taken away here: the reset comes when the chunks have been seen."""
    for whole in (1, 2):
        seen = threading.Event()
        chunks = [json.loads(each) for each in CHUNKS]
        packed = cell.transfer == "gzip"
        cell._server.queue(
            Answer(
                chunks=[*chunks[:whole], seen, b" ", *chunks[whole:], threading.Event()],
                stop_how="reset",
                transfer="chunked" if packed else cell.transfer,
                gzip=packed,
                # One byte more than the chunks: sent when they have been seen, and the reset right behind it.
                stop_after=len(framed(cell, chunks[:whole])) + 1,
            )
        )
        texts = []
        with pytest.raises(GeministreamError) as caught:
            for each in stream_generate(
                "m", "x", endpoint=cell._endpoint, alt="sse" if cell.framing == "SSE" else "json"
            ):
                texts.append(each.text)
                if len(texts) == whole:
                    seen.set()
        assert texts == TEXTS[:whole] and type(caught.value).__name__ == "IncompleteStreamError"
        cell.count("reset after reading")


def framed(cell, chunks):
    """These chunks as LocalServer sends them: with a sync flush after each where it packs them."""
    from geministream.testing.delivery import gzipped
    from geministream.testing.render import framed as framed_items

    items = framed_items(
        Answer(chunks=[*chunks, b"stop"]),
        "sse" if cell.framing == "SSE" else "json",
        b"\r\n",
        False,
        lambda _: None,
    )
    pieces = []
    for item in items:
        if item == b"stop":
            break
        pieces.append(item)
    if cell.transfer == "gzip":
        squeezed = gzipped(pieces)
        return b"".join(next(squeezed) for _ in pieces)
    return b"".join(pieces)


def test_stalled(matrix_server):
    """Each cut of each body at once, so that the timeout can be one that a busy machine keeps."""

    def run(framing, transfer, cut):
        with LocalServer() as server:
            cell = Cell(server, framing, transfer, timeout=(10, 2))
            came = cell.run(BODIES[framing], stop_after=cut, stop_how="stall")
            assert came == (cell.complete_in(BODIES[framing], cut)[0], "StreamTimeoutError"), (
                f"stalled after {cut} bytes"
            )
            return cell

    cases = []
    for framing, transfer in itertools.product(BODIES, TRANSFERS):
        length = len(Cell(matrix_server, framing, transfer).sent(BODIES[framing]))
        cuts = sorted({0, 1, length // 3, length // 2, length - 30, length - 9, length - 5, length - 1})
        cases += [(framing, transfer, cut) for cut in sample(cuts, 2)]
    with ThreadPoolExecutor(len(cases)) as threads:
        for cell in threads.map(lambda case: run(*case), cases):
            cell.count("stalled")


ERROR = {"error": {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED"}}


def broken_off(framing, whole, tail):
    """The body of some complete chunks and then ``tail``, in which ``,`` stands for what divides two elements."""
    if framing == "SSE":
        return b"".join(b"data: " + each + b"\r\n\r\n" for each in CHUNKS[:whole]) + tail
    return b"[" + b"\n,\r\n".join([*CHUNKS[:whole], tail]) + b"\n]\n"


def errors(framing):
    plain, pretty = json.dumps(ERROR).encode(), json.dumps(ERROR, indent=2).encode()
    if framing == "array":
        return {"element": plain, "element, pretty-printed": pretty}
    return {
        "data": b"data: " + plain + b"\r\n\r\n",
        "event": b"event: error\r\ndata: " + plain + b"\r\n\r\n",
        "raw": pretty + b"\n",
        "data, no blank line": b"data: " + plain,
    }


def test_error_in_the_stream(cell):
    for form, tail in errors(cell.framing).items():
        for whole in range(4):
            came = cell.run(broken_off(cell.framing, whole, tail))
            assert came == (TEXTS[:whole], "RateLimitError"), f"{form} after {whole} chunks"
            cell.count(f"error, {form}")


GARBAGE = {
    "a page": b"<html>\r\n\r\n",
    "bad UTF-8": b'data: {"a": "\xff"}\r\n\r\n',
    "bad JSON": b"data: {'a'}\r\n\r\n",
    "zeros": b"\0\0\0\r\n\r\n",
    "a string": b'data: "x"\r\n\r\n',
    "a number": b"data: 7\r\n\r\n",
    "a cut value": b"data: {\r\n\r\n",
}


def test_garbage(cell):
    for kind, tail in GARBAGE.items():
        for whole in range(4):
            garbage = tail if cell.framing == "SSE" else tail.replace(b"data: ", b"").strip() or b"<"
            came = cell.run(broken_off(cell.framing, whole, garbage))
            # Half an event and nothing behind it is what a gateway makes of an upstream that was cut.
            error = (
                "IncompleteStreamError"
                if kind == "a cut value" and cell.framing == "SSE"
                else "StreamDecodeError"
            )
            assert came == (TEXTS[:whole], error), f"{kind} after {whole} chunks"
            cell.count(f"garbage, {kind}")


def test_damaged_compression_at_every_byte(matrix_server):
    """Past the ten bytes of its head, every byte of a packed body is vital, or harmless."""
    for framing in BODIES:
        cell = Cell(matrix_server, framing, "gzip")
        whole = cell.sent(BODIES[framing])
        plain = Cell(matrix_server, framing, "chunked")
        for position in sample(range(len(whole)), 3):
            damaged = bytearray(whole)
            damaged[position] ^= 0x55
            texts, error = plain.run(bytes(damaged), headers={"Content-Encoding": "gzip"})
            assert error in ("StreamDecodeError", "IncompleteStreamError") or (texts, error) == (TEXTS, None)
            cell.count("damaged compression")


def test_all_cells_were_there(figures, matrix_server):
    """Run after the others; alone it has nothing to count."""
    if not cells:
        pytest.skip("the matrix was not run")
    faults = {fault.split(",")[0] for _, _, fault in cells}
    if faults < {"whole", "cut", "reset", "stalled", "error", "garbage"}:
        pytest.skip("only a part of the matrix was run")
    for framing in BODIES:
        for transfer in TRANSFERS:
            there = {fault.split(",")[0] for f, t, fault in cells if (f, t) == (framing, transfer)}
            assert there >= {"whole", "cut", "reset", "stalled", "error", "garbage"}
            for how in ("end", "drop"):
                assert cells[framing, transfer, f"cut, {how}"] == len(
                    Cell(matrix_server, framing, transfer).cuts(BODIES[framing])
                )
    figures["cells of the fault matrix"] = sum(cells.values())
    print(sum(cells.values()), "cells")
