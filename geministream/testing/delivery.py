"""Send an answer over a connection, completely or with its fault."""

from __future__ import annotations

import dataclasses
import threading
import zlib
from typing import Callable, Dict, Iterable, Iterator, NamedTuple, Optional, Tuple

from .answers import Answer
from .render import Item, render
from .wire import BadRequest, Connection, Gone, response_head


def gzipped(items: Iterable[Item]) -> Iterator[Item]:
    """The items compressed, flushed after each, so that each can be read when it arrives."""
    squeeze = zlib.compressobj(wbits=31)
    for item in items:
        if isinstance(item, bytes):
            item = squeeze.compress(item) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        yield item
    yield squeeze.flush(zlib.Z_FINISH)


def _resized(items: Iterable[Item], size: int) -> Iterator[Item]:
    """The same bytes in pieces of `size`; those before a wait are sent before it."""
    held = b""
    for item in items:
        if isinstance(item, bytes):
            held += item
            whole = len(held) - len(held) % size
            for start in range(0, whole, size):
                yield held[start : start + size]
            held = held[whole:]
        else:
            if held:
                yield held
                held = b""
            yield item
    if held:
        yield held


class Delivery(NamedTuple):
    """An answer that is ready to be sent: everything that is decided before the first byte."""

    headers: Dict[str, str]
    items: Iterable[Item]
    transfer: str
    stop: Optional[int]  # bytes of the body after which the fault occurs
    total: int  # bytes of the body, known if the transfer needs it


def _prepare(
    answer: Answer, headers: Dict[str, str], items: Iterable[Item], packed: bool, chunks_known: bool
) -> Delivery:
    if packed:
        vary = ", ".join(filter(None, (headers.get("Vary"), "Accept-Encoding")))
        headers = {**headers, "Content-Encoding": "gzip", "Vary": vary}
        items = gzipped(items)
    if answer.piece_bytes:
        items = _resized(items, answer.piece_bytes)
    if answer.piece_delay:
        items = _spaced(items, answer.piece_delay)
    stop, total = answer.stop_after, 0
    transfer = answer.transfer if chunks_known or answer.transfer != "chunked" else "close"
    if transfer == "length" or (stop is not None and stop < 0):
        items = list(items)
        total = sum(len(item) for item in items if isinstance(item, bytes))
        if stop is not None and stop < 0:
            stop = max(0, total + stop)
        if transfer == "length":
            headers = {**headers, "Content-Length": str(total)}
    return Delivery(headers, items, transfer, stop, total)


def deliver(
    connection: Connection,
    answer: Answer,
    rendered: Tuple[int, Dict[str, str], Iterator[Item]],
    *,
    piece_delay: float = 0.0,
    accepts_gzip: bool = False,
    keep_alive: bool = True,
    chunks_known: bool = True,
    head_only: bool = False,
    sent: Callable[[int], None] = lambda size: None,
) -> bool:
    """Send an answer; return whether the connection can serve the next request.

    `chunks_known` is False for an HTTP/1.0 client, which does not support chunked
    transfer; `sent` is called with the size of each piece of the body after it is sent.
    """
    status, headers, items = rendered
    if answer.piece_delay is None:
        answer = dataclasses.replace(answer, piece_delay=piece_delay)
    counted = answer.stop_after is not None or answer.piece_bytes is not None
    packed = answer.gzip or (answer.gzip is None and accepts_gzip and not counted)
    delivery = _prepare(answer, headers, items, bool(packed), chunks_known)
    headers, transfer = delivery.headers, delivery.transfer
    bodiless = head_only or status in (204, 304)
    if transfer == "chunked" and not bodiless:
        headers = {**headers, "Transfer-Encoding": "chunked"}
    keep_alive = keep_alive and not connection.body_unread and transfer != "close"
    if not keep_alive:
        headers = {**headers, "Connection": "close"}

    if answer.delay:
        connection.pause(answer.delay)
    if answer.wait is not None:
        connection.pause(until=answer.wait)
    head = response_head(status, list(headers.items()))
    if answer.stop_in_head is not None:
        connection.send(head[: answer.stop_in_head])
        return _break(connection, answer)
    connection.answering = True
    connection.send(head)
    if bodiless:
        return keep_alive

    _send_body(connection, delivery, sent)
    if delivery.stop is not None:
        if answer.stop_how != "end":
            return _break(connection, answer)
        if transfer == "length" and delivery.stop < delivery.total:
            keep_alive = False  # the client still waits for the rest of the Content-Length
    if transfer == "chunked":
        connection.send(b"0\r\n\r\n")
    if not keep_alive:
        connection.say_goodbye()
    return keep_alive


def _send_body(connection: Connection, delivery: Delivery, sent: Callable[[int], None]) -> None:
    """Send the body up to the byte at which it stops."""
    left = delivery.stop
    for item in delivery.items:
        if isinstance(item, threading.Event):
            connection.pause(until=item)
            continue
        if not isinstance(item, bytes):
            connection.pause(item)
            continue
        piece = item if left is None else item[:left]
        if piece:  # an empty HTTP chunk would end the body
            whole = delivery.transfer != "chunked"
            connection.send(piece if whole else b"%x\r\n%b\r\n" % (len(piece), piece))
            sent(len(piece))
        if left is not None:
            left -= len(piece)
            if left == 0:
                return


def _spaced(items: Iterable[Item], seconds: float) -> Iterator[Item]:
    first = True
    for item in items:
        if isinstance(item, bytes):
            if not first:
                yield seconds
            first = False
        yield item


def _break(connection: Connection, answer: Answer) -> bool:
    """Make the fault occur; return False, because the connection ends."""
    if answer.stop_how == "stall":
        try:
            connection.pause()
        except Gone:
            if not connection.closing.is_set():
                raise
    elif answer.stop_how == "reset":
        connection.reset_on_close()
    elif connection.body_unread:
        connection.say_goodbye()  # closing with unread bytes would be a reset
    return False


def refuse(connection: Connection, error: BadRequest) -> None:
    """Answer a request that is not HTTP, unless an answer has begun; the connection closes afterwards."""
    answer = Answer.failure(error.status, str(error), transfer="length")
    try:
        if not connection.answering:
            deliver(connection, answer, render(answer, "object"), keep_alive=False)
    except Gone:
        pass
