"""A recording: one exchange with a real endpoint as a readable JSON file, without credentials.

``request`` has the method, path, query, headers and body, ``response`` has the
status, headers, seconds until they arrived, the pieces of the body with their
arrival times, and how the body ended: "complete", "drop" or "reset" (as in
`Answer.stop_how`).  Bytes are written as ``json`` or ``text`` if possible,
else as ``base64``.  A compressed body is kept compressed; ``decoded`` is only for
readers.
"""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from . import json_checks
from .json_checks import ScriptError, list_of, one_of, one_or_more, parse_json, record
from .redact import Redactor, is_credential, without_credentials
from .wire import Headers

Pairs = List[Tuple[str, str]]


@dataclass
class Recording:
    """One exchange."""

    upstream: str  # scheme and host
    method: str
    path: str
    query: Pairs
    request_headers: Pairs
    request_body: bytes
    status: int
    headers: Pairs
    seconds: float  # until the response's head arrived
    pieces: List[Tuple[float, bytes]] = field(default_factory=list)  # arrival time in seconds, and bytes
    end: str = "drop"  # changed when the body ends
    name: str = ""  # the file's name

    @property
    def key(self) -> Any:
        return request_key(self.method, self.path, self.query, self.request_headers, self.request_body)

    def header(self, name: str) -> Optional[str]:
        return Headers(self.headers).get(name)


def request_key(method: str, path: str, query: Iterable[Tuple[str, str]], headers: Pairs, body: bytes) -> Any:
    """A key that is equal for equal requests; headers, credentials and JSON formatting do not matter."""
    asked = sorted(pair for pair in query if not is_credential(pair[0]))
    try:
        return method, path, asked, json.dumps(parse_json(body), sort_keys=True)
    except ValueError:
        # Each request of a form has a new boundary.
        boundary = re.search('boundary="?([^";]+)', Headers(headers).get("content-type", ""))
        return method, path, asked, body.replace(boundary.group(1).encode(), b"") if boundary else body


def redacted(recording: Recording, redactor: Redactor) -> Recording:
    """The recording without secrets; a compressed body that contains one is decompressed."""
    times, pieces = [at for at, _ in recording.pieces], [piece for _, piece in recording.pieces]
    headers = recording.headers
    decoded = inflated(recording)
    if decoded is not None and redactor.pieces(decoded) != decoded:
        pieces = decoded
        headers = [pair for pair in headers if pair[0].lower() not in ("content-encoding", "content-length")]

    def hidden(pairs: Pairs) -> Pairs:
        return [(redactor.text(name), redactor.text(value)) for name, value in without_credentials(pairs)]

    return Recording(
        recording.upstream,
        recording.method,
        redactor.text(recording.path),
        hidden(recording.query),
        hidden(recording.request_headers),
        redactor(recording.request_body),
        recording.status,
        hidden(headers),
        recording.seconds,
        list(zip(times, redactor.pieces(pieces))),
        recording.end,
        recording.name,
    )


def inflated(recording: Recording) -> Optional[List[bytes]]:
    """The body decompressed, piece by piece; None if it is not compressed."""
    if (recording.header("content-encoding") or "").lower() != "gzip":
        return None
    squeezed: Any = zlib.decompressobj(wbits=31)
    pieces = []
    for _, piece in recording.pieces:
        whole = b""
        while piece:
            try:
                whole += squeezed.decompress(piece) if squeezed else piece
            except zlib.error:  # the rest is not compressed
                squeezed = None
                continue
            piece = squeezed.unused_data if squeezed else b""
            if piece:  # RFC 1952: a gzip file may have several members
                squeezed = zlib.decompressobj(wbits=31)
        pieces.append(whole)
    return pieces


# The file ------------------------------------------------------------------------


def save(recording: Recording, directory: str) -> None:
    """Write the recording's file atomically."""
    path = os.path.join(directory, recording.name)
    # A lone surrogate becomes its escape in JSON.
    with open(f"{path}.part", "w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(_to_json(recording), file, indent=2, ensure_ascii=False)
        file.write("\n")
    os.replace(f"{path}.part", path)


def load(path: str) -> Recording:
    """Read a recording's file.

    :raises ScriptError: if the file is not a recording.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return _from_json(json.load(file), os.path.basename(path))
    except ScriptError as error:
        raise ScriptError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ScriptError(f"{path}: is not valid JSON: {error}") from None


def _to_json(recording: Recording) -> Dict[str, Any]:
    response: Dict[str, Any] = {
        "status": recording.status,
        "headers": _named(recording.headers),
        "seconds": round(recording.seconds, 6),
        "pieces": [{"at": round(at, 6), **_written(piece)} for at, piece in recording.pieces],
        "end": recording.end,
    }
    decoded = inflated(recording)
    if decoded is not None:
        response["decoded"] = b"".join(decoded).decode("utf-8", "replace")
    request = {
        "method": recording.method,
        "path": recording.path,
        "query": _named(recording.query),
        "headers": _named(recording.request_headers),
        "body": _written(recording.request_body, may_be_json=True),
    }
    return {"upstream": recording.upstream, "request": request, "response": response}


def _from_json(value: Any, name: str) -> Recording:
    given = _FILE(value, "$")
    request, response = given["request"], given["response"]
    return Recording(
        given["upstream"],
        request["method"],
        request["path"],
        request["query"],
        request["headers"],
        _bytes(request["body"]),
        response["status"],
        response["headers"],
        response["seconds"],
        [(piece["at"], _bytes(piece)) for piece in response["pieces"]],
        response["end"],
        name,
    )


def _written(data: bytes, may_be_json: bool = False) -> Dict[str, Any]:
    """Bytes in the form in which a file has them."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
    if may_be_json:
        try:
            return {"json": parse_json(text)}
        except ValueError:
            pass  # written as text
    return {"text": text}


def _bytes(written: Mapping[str, Any]) -> bytes:
    if "json" in written:
        return json.dumps(written["json"]).encode()
    data: bytes = written["base64"] if "base64" in written else written.get("text", "").encode()
    return data


def _named(pairs: Pairs) -> Dict[str, Any]:
    """Headers or parameters as an object; a name that occurs several times has a list of values."""
    named: Dict[str, Any] = {}
    for name, value in pairs:
        if name not in named:
            named[name] = value
        else:
            first = named[name]
            named[name] = [*(first if isinstance(first, list) else [first]), value]
    return named


def _pairs(value: Any, path: str) -> Pairs:
    named = json_checks.map_of(one_or_more(json_checks.text))(value, path)
    return [(name, each) for name, values in named.items() for each in values]


_BYTES = {"json": lambda value, path: value, "text": json_checks.text, "base64": json_checks.from_base64}
_FILE = record(
    {
        "upstream": json_checks.text,
        "request": record(
            {
                "method": json_checks.text,
                "path": json_checks.text,
                "query": _pairs,
                "headers": _pairs,
                "body": record(_BYTES),
            },
            ["method", "path", "query", "headers", "body"],
        ),
        "response": record(
            {
                "status": json_checks.integer(200, 999),
                "headers": _pairs,
                "seconds": json_checks.seconds,
                "pieces": list_of(record({"at": json_checks.seconds, **_BYTES}, ["at"])),
                "end": one_of("complete", "drop", "reset"),
                "decoded": json_checks.text,
            },
            ["status", "headers", "seconds", "pieces", "end"],
        ),
    },
    ["upstream", "request", "response"],
)
