"""Keep credentials out of everything that is shown or written.

A header or query parameter is a credential if its name says so.  Its value is
then a secret wherever it occurs: a server may echo it percent-encoded, escaped
in JSON or HTML, in base64, and cut by a limit.
"""

from __future__ import annotations

import base64
import re
from typing import Iterable, Iterator, List, Pattern, Set, Tuple

HIDDEN = "***"
#: This many first characters of a secret are hidden even without the rest.
PREFIX = 8
#: A shorter value is not a secret, and hiding it would damage ordinary text.
SHORTEST = 5

_ENTITIES = {ord("&"): b"amp", ord("<"): b"lt", ord(">"): b"gt", ord('"'): b"quot", ord("'"): b"apos"}
#: "tokens" is a count, as in x-ratelimit-remaining-tokens; WWW-Authenticate asks for credentials.
_NAMES = re.compile("auth(?!enticate)|key|token(?!s)|secret|cookie|passw|credential|signature", re.IGNORECASE)


def is_credential(name: str) -> bool:
    """Whether a header's or parameter's name says that its value is a credential."""
    return bool(_NAMES.search(name)) and name.lower() != "pagetoken"


def without_credentials(pairs: Iterable[Tuple[str, str]]) -> List[Tuple[str, str]]:
    """Headers or parameters with the values of the credentials hidden."""
    return [(name, HIDDEN if is_credential(name) else value) for name, value in pairs]


def secrets_of(pairs: Iterable[Tuple[str, str]]) -> Set[str]:
    """The values of the credentials among headers or parameters."""
    return {
        re.sub("^(bearer|basic) +", "", value, flags=re.IGNORECASE)
        for name, value in pairs
        if is_credential(name)
    }


class Redactor:
    """Hides secrets in bytes, in every spelling."""

    def __init__(self, secrets: Iterable[str]):
        #: For each spelling: the pattern of its first characters, and one for each of the others.
        self._spellings: List[Tuple[Pattern[bytes], List[Pattern[bytes]]]] = []
        for secret in secrets:
            if len(secret) >= SHORTEST:
                for spelling in (secret.encode(), *_in_base64(secret.encode())):
                    chars = [_escaped(char) for char in spelling]
                    rest = [re.compile(char) for char in chars[PREFIX:]]
                    self._spellings.append((re.compile(b"".join(chars[:PREFIX])), rest))

    def __call__(self, data: bytes) -> bytes:
        return b"".join(self.pieces([data]))

    def text(self, text: str) -> str:
        return self(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def pieces(self, pieces: Iterable[bytes]) -> List[bytes]:
        """Redact bytes in pieces; a secret may be split between two pieces."""
        pieces = list(pieces)
        spans = sorted(self._spans(b"".join(pieces)))
        shown: List[bytes] = []
        offset = 0  # of the piece in the joined bytes
        for piece in pieces:
            kept, at = b"", 0
            for start, end in spans:
                start, end = start - offset, end - offset
                if end > at and start < len(piece):
                    # A span that overlaps the previous one is part of it.
                    kept += piece[at : max(start, at)] + (HIDDEN.encode() if start >= at else b"")
                    at = min(end, len(piece))
            shown.append(kept + piece[at:])
            offset += len(piece)
        return shown

    def _spans(self, data: bytes) -> Iterator[Tuple[int, int]]:
        for first, rest in self._spellings:
            for match in first.finditer(data):
                end = match.end()
                for char in rest:
                    following = char.match(data, end)
                    if not following:
                        break
                    end = following.end()
                yield match.start(), end


def _in_base64(secret: bytes) -> Set[bytes]:
    """The base64 of the secret, for every alignment and in both alphabets, without its neighbours' bits."""
    found = set()
    for before in range(3):
        first, end = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
        coded = base64.b64encode(b"\0" * before + secret)[first:end]
        found |= {coded, coded.translate(bytes.maketrans(b"+/", b"-_"))}
    return {coded for coded in found if len(coded) >= SHORTEST}


def _escaped(char: int) -> bytes:
    """A pattern for one character and all its escapes, which may be escaped again."""
    raw, code = re.escape(bytes([char])), b"%02x" % char
    # Each begins with a literal character, which makes `re` many times as fast.
    spelled = [
        rb"%%(?:25)*(?i:%b)" % code,
        rb"\\\\*u00(?i:%b)" % code,
        rb"\\\\*x(?i:%b)" % code,
        rb"&(?:amp;)*#(?:0*%d|[xX]0*(?i:%b));" % (char, code),
    ]
    if char in _ENTITIES:
        spelled.append(rb"&(?:amp;)*%b;" % _ENTITIES[char])
    if not bytes([char]).isalnum():
        spelled.append(rb"\\\\*" + raw)
    return b"(?:%b)" % b"|".join([*spelled, raw])
