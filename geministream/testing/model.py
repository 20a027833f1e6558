"""A small deterministic "model" that shows what it received.

It understands nothing: it tells back what was sent, by rules written down
here, so that a test knows the whole answer from the request
(:func:`expected_text`) and sees that every byte arrived.

The rules:

* The answer is lines joined by newlines.  First ``System instruction: …``,
  where there is one, and ``I was sent N contents.``, where there are several.
  Then one line for each part of the last content: text as ``You said: …``,
  inline data as ``You sent image/png, 68 bytes, SHA-256 ….``, a file as
  ``You sent the file URI, video/mp4, 1024 bytes, SHA-256 ….`` (as much of it
  as the server knows), a function's answer as ``NAME answered {…}``.
* With ``responseMimeType: application/json`` the answer is JSON text: an
  instance of the schema (:func:`instance_of`), or ``{"text": …}`` without
  one; with ``text/x.enum`` it is the schema's first value.
* Declared functions are called when the last text names one: ``name({…})``
  with these arguments, a bare ``name`` with arguments made from its schema.
  Tool mode ANY calls the first allowed one at least, NONE calls none.  An
  answer that calls has no text.
* A token is a word with the white space that follows it.  ``maxOutputTokens``
  counts these (thoughts are free); ``stopSequences`` end the text before them.
* Candidates after the first begin with ``(2) ``, ``(3) `` …
* ``includeThoughts`` puts thoughts first, and a last part of empty text that
  bears a thought signature.
* ``responseModalities`` with IMAGE adds a small PNG (without TEXT: it alone).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import zlib
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from .answers import make_signature

#: Keys whose values are the caller's own data: their keys are not the wire's.
FREE_FORM = frozenset(
    (
        "args",
        "response",
        "labels",
        "responseSchema",
        "responseJsonSchema",
        "_responseJsonSchema",
        "parameters",
        "parametersJsonSchema",
    )
)

#: What the server knows of a file: its URI -> (MIME type, size, SHA-256), or None.
FileFacts = Callable[[str], Optional[Tuple[str, int, str]]]
#: Tells the text for a request, in place of the rules.
Reply = Callable[[Dict[str, Any]], str]


def no_files(uri: str) -> None:
    """The facts of a server that holds no files."""


def camel(value: Any) -> Any:
    """A request with its field names in camelCase; JSON of protocol buffers takes both spellings."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for key, item in value.items():
        key = re.sub(r"(?<=[a-z0-9])_([a-z])", lambda match: match.group(1).upper(), key)
        renamed[key] = item if key in FREE_FORM else camel(item)
    return renamed


def normal(request: Dict[str, Any]) -> Dict[str, Any]:
    """A request in camelCase, with each list a list: Google takes a single message for one."""
    request = camel(request)
    for name in ("contents", "tools", "safetySettings"):
        if isinstance(request.get(name), dict):
            request[name] = [request[name]]
    contents = request.get("contents")
    for content in [*(contents if isinstance(contents, list) else []), request.get("systemInstruction")]:
        if isinstance(content, dict) and isinstance(content.get("parts"), dict):
            content["parts"] = [content["parts"]]
    return request


def last_parts(request: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The parts of the last content."""
    contents = request.get("contents")
    return contents[-1].get("parts") or [] if contents else []


def bytes_of(text: str) -> bytes:
    """Base64 in either alphabet, padded or not, as protocol buffers take it."""
    text = text.replace("-", "+").replace("_", "/")
    return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)


def words(text: str) -> List[str]:
    """The text's tokens: words with the white space around them; joined they are the text."""
    return re.findall(r"^\s+|\S+\s*", text)


# -- what it says ------------------------------------------------------------


def expected_text(
    request: Dict[str, Any], candidate: int = 0, *, files: FileFacts = no_files, reply: Optional[Reply] = None
) -> str:
    """The whole text that the model answers to this request (a dict, camelCase or snake_case).

    `files` and `reply` are the server's; ``LocalServer.expected_text`` knows them.
    """
    return "".join(answer_tokens(normal(request), candidate, files=files, reply=reply)[0])


def expected_thoughts(request: Dict[str, Any]) -> str:
    """The whole text of the thoughts, where they are asked for."""
    request = normal(request)
    tokens = sum(prompt_token_details(request).values())
    return f"**Reading the prompt**\n\nIt has {tokens} tokens in {len(last_parts(request))} parts.\n"


def prompt_text(request: Dict[str, Any]) -> str:
    """The text of the last content's parts."""
    return "\n".join(part["text"] for part in last_parts(request) if part.get("text"))


def _told(request: Dict[str, Any], files: FileFacts) -> str:
    lines = []
    system = request.get("systemInstruction")
    if system:
        text = " ".join(part.get("text") or "" for part in system.get("parts") or [])
        lines.append(f"System instruction: {text}")
    if len(request["contents"]) > 1:
        lines.append(f"I was sent {len(request['contents'])} contents.")
    lines += [_told_part(part, files) for part in last_parts(request)]
    return "\n".join(lines)


def _told_part(part: Dict[str, Any], files: FileFacts) -> str:
    if part.get("inlineData"):
        blob = part["inlineData"]
        data = bytes_of(blob.get("data") or "")
        digest = hashlib.sha256(data).hexdigest()
        return f"You sent {blob.get('mimeType')}, {len(data)} bytes, SHA-256 {digest}."
    if part.get("fileData"):
        uri = part["fileData"].get("fileUri", "")
        facts = files(uri)
        if facts:
            return "You sent the file {}, {}, {} bytes, SHA-256 {}.".format(uri, *facts)
        mime_type = part["fileData"].get("mimeType")
        return f"You sent the file {uri}{', ' + mime_type if mime_type else ''}."
    if part.get("functionResponse"):
        answer = part["functionResponse"]
        response = json.dumps(answer.get("response"), sort_keys=True, ensure_ascii=False)
        return f"{answer.get('name')} answered {response}"
    if isinstance(part.get("text"), str):
        return f"You said: {part['text']}"
    return f"You sent {', '.join(sorted(part))}."


def answer_tokens(
    request: Dict[str, Any], candidate: int = 0, *, files: FileFacts = no_files, reply: Optional[Reply] = None
) -> Tuple[List[str], str]:
    """The text as tokens, cut as the request says, and the finish reason."""
    config = request.get("generationConfig") or {}
    schemas = ("responseJsonSchema", "_responseJsonSchema", "responseSchema")
    schema = next((config[name] for name in schemas if config.get(name)), None)
    mime_type = config.get("responseMimeType")
    if function_calls(request) or _modalities(config) == {"IMAGE"}:
        text = ""
    elif reply is not None:
        text = reply(request)
    elif mime_type == "application/json":
        made = instance_of(schema) if schema else {"text": _told(request, files)}
        text = json.dumps(made, ensure_ascii=False)
    elif mime_type == "text/x.enum" and schema:
        text = str(instance_of(schema))
    else:
        text = _told(request, files)
    if candidate and text:
        text = f"({candidate + 1}) {text}"
    for stop in filter(None, config.get("stopSequences") or []):
        text = text.partition(stop)[0]
    tokens = words(text)
    limit = config.get("maxOutputTokens")
    if limit is not None and len(tokens) > _whole(limit):
        return tokens[: _whole(limit)], "MAX_TOKENS"
    return tokens, "STOP"


def _whole(value: Any) -> int:
    """A whole number as JSON of protocol buffers has it: 2, "2" or "2.0"."""
    return int(float(value))


def _modalities(config: Dict[str, Any]) -> Set[str]:
    return {str(each).upper() for each in config.get("responseModalities") or ["TEXT"]}


# -- functions ---------------------------------------------------------------


def function_calls(request: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The `functionCall`s that the model answers with; usually none."""
    if any("functionResponse" in part for part in last_parts(request)):
        return []
    config = (request.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = str(config.get("mode") or "AUTO").upper()
    allowed = config.get("allowedFunctionNames")
    declared: Dict[str, Dict[str, Any]] = {}
    for tool in request.get("tools") or []:
        for declaration in tool.get("functionDeclarations") or []:
            if not allowed or declaration.get("name") in allowed:
                declared[declaration.get("name", "")] = declaration
    if mode == "NONE" or not declared:
        return []
    text = prompt_text(request)
    calls: List[Dict[str, Any]] = []
    names = "|".join(re.escape(name) for name in sorted(declared, key=len, reverse=True))
    for match in re.finditer(rf"(?<![\w.])({names})(?![\w])(\(\s*)?", text):
        args: Any = None
        if match.group(2) is not None:
            try:
                args, _ = json.JSONDecoder().raw_decode(text, match.end())
            except ValueError:
                pass
        calls.append(_call(declared[match.group(1)], args, len(calls)))
    if not calls and mode == "ANY":
        calls.append(_call(next(iter(declared.values())), None, 0))
    return calls


def _call(declaration: Dict[str, Any], args: Any, number: int) -> Dict[str, Any]:
    schema = declaration.get("parametersJsonSchema") or declaration.get("parameters") or {"type": "object"}
    if not isinstance(args, dict):
        made = instance_of(schema)
        args = made if isinstance(made, dict) else {}
    seed = json.dumps([declaration.get("name"), args, number], sort_keys=True)
    return {
        "name": declaration.get("name"),
        "args": args,
        "id": "call-" + hashlib.sha256(seed.encode()).hexdigest()[:12],
    }


# -- structured answers ------------------------------------------------------


def instance_of(schema: Any, name: str = "value", number: int = 1, root: Any = None, depth: int = 0) -> Any:
    """The simplest instance of a schema (JSON Schema, or OpenAPI's as Gemini takes it).

    A string is its property's name (with a number after it from an array's
    second item on), a number its item's number or the nearest that its bounds
    allow, an array has two items or as many as its bounds allow; of several
    alternatives it is the first.
    """
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > 12:
        return None
    again = {"root": root, "depth": depth + 1}
    if "$ref" in schema:
        return instance_of(_referred(root, schema["$ref"]), name, number, **again)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return instance_of(schema[several][0], name, number, **again)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if str(each).lower() != "null"), "null")
    if not kind:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    kind = str(kind).lower()
    if kind == "object":
        properties = schema.get("properties") or {}
        order = schema.get("propertyOrdering") or schema.get("property_ordering") or list(properties)
        required = schema.get("required")
        if depth > 6 and required is not None:  # a schema that contains itself must end somewhere
            order = [each for each in order if each in required]
        return {
            each: instance_of(properties[each], each, number, **again) for each in order if each in properties
        }
    if kind == "array":
        if schema.get("prefixItems"):
            return [instance_of(each, name, k + 1, **again) for k, each in enumerate(schema["prefixItems"])]
        low, high = _whole(schema.get("minItems") or 0), schema.get("maxItems")
        count = max(low, 2 if depth <= 6 else 0)
        count = count if high is None else min(count, _whole(high))
        return [instance_of(schema.get("items") or {}, name, k + 1, **again) for k in range(count)]
    if kind in ("integer", "number"):
        value = float(number)
        if schema.get("minimum") is not None:
            value = max(value, float(schema["minimum"]))
        if schema.get("maximum") is not None:
            value = min(value, float(schema["maximum"]))
        return int(value) if kind == "integer" else value
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    made = {"date-time": "2026-01-01T00:00:00Z", "date": "2026-01-01", "time": "00:00:00Z"}.get(
        str(schema.get("format")), name if number == 1 else f"{name} {number}"
    )
    return made.ljust(_whole(schema.get("minLength") or 0), ".")


def _referred(root: Any, reference: str) -> Any:
    """What a `$ref` within the schema points at."""
    for step in [step for step in reference.lstrip("#").split("/") if step]:
        root = root.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(root, dict) else None
    return root


# -- images ------------------------------------------------------------------


def png(seed: bytes, size: int = 16) -> bytes:
    """A valid PNG of `size` by `size` pixels whose colours depend on `seed`."""
    colours = hashlib.sha256(seed).digest()
    rows = b"".join(
        b"\0" + b"".join(colours[3 * ((x // 4 + y // 4) % 8) :][:3] for x in range(size)) for y in range(size)
    )

    def block(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (block(b"IHDR", head), block(b"IDAT", zlib.compress(rows)), block(b"IEND", b""))
    )


# -- usage -------------------------------------------------------------------


#: By the first half of the MIME type: the modality, and the tokens that each such medium costs.
PRICES = {
    "image": ("IMAGE", 258),
    "video": ("VIDEO", 263),
    "audio": ("AUDIO", 32),
    "application": ("DOCUMENT", 258),
}


def prompt_token_details(request: Dict[str, Any]) -> Dict[str, int]:
    """The prompt's tokens by modality: text by words, each medium at a flat price."""
    counts: Dict[str, int] = {}
    system = request.get("systemInstruction")
    for content in request["contents"] + ([system] if system else []):
        for part in content.get("parts") or []:
            medium = part.get("inlineData") or part.get("fileData")
            if medium:
                kind = str(medium.get("mimeType") or "").partition("/")[0]
                modality, tokens = PRICES.get(kind, ("TEXT", 258))
            else:
                text = part.get("text")
                modality, tokens = "TEXT", len(words(text if isinstance(text, str) else json.dumps(part)))
            counts[modality] = counts.get(modality, 0) + tokens
    return counts


# -- the stream --------------------------------------------------------------


class Hop(NamedTuple):
    """Which stretch of the answer one request gives (long decode)."""

    start: int = 0  # the first of the answer's tokens that it gives
    end: Optional[int] = None  # and the first that it does not; None: all the rest
    thinking: bool = False  # spent on thinking: no text at all
    #: Tells the continuation token for a place in the answer; None: long decode is off.
    token: Optional[Callable[[int], str]] = None
    #: Tells whether the k-th chunk of the hop bears a checkpoint.
    checkpoint: Callable[[int], bool] = lambda k: False
    #: How often this stretch was told before, and one: told again it reads otherwise.
    variant: int = 1


def reworded(word: str, variant: int) -> str:
    """The word as it is told the `variant`-th time: ``word ``, ``word~2 ``, ``word~3 `` …"""
    bare = word.rstrip()
    return word if variant == 1 or not bare else f"{bare}~{variant}{word[len(bare) :]}"


class Telling:
    """An answer while it is told: what all its chunks have in common, and the usage so far."""

    def __init__(self, request: Dict[str, Any], model: str, hop: Hop):
        self.model = model
        self.seed = json.dumps(request, sort_keys=True).encode()
        self.response_id = base64.urlsafe_b64encode(hashlib.sha256(self.seed).digest()[:12]).decode()
        self.details = prompt_token_details(request)
        self.prompt = sum(self.details.values()) + hop.start  # a hop reads all that came before again
        self.thoughts = 0
        self.spoken = 0

    def chunk(
        self,
        index: int,
        part: Optional[Dict[str, Any]],
        finish: Optional[str] = None,
        token: Optional[str] = None,
    ) -> Dict[str, Any]:
        """The next chunk: one part of one candidate."""
        candidate: Dict[str, Any] = {"content": {"parts": [part], "role": "model"}} if part else {}
        if finish:
            candidate["finishReason"] = finish
        if token:
            candidate["continuationToken"] = token
        candidate["index"] = index
        usage: Dict[str, Any] = {"promptTokenCount": self.prompt}
        if self.spoken:
            usage["candidatesTokenCount"] = self.spoken
        usage["totalTokenCount"] = self.prompt + self.spoken + self.thoughts
        usage["promptTokensDetails"] = [{"modality": m, "tokenCount": n} for m, n in self.details.items()]
        if self.thoughts:
            usage["thoughtsTokenCount"] = self.thoughts
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": self.model,
            "responseId": self.response_id,
        }


def generate(
    request: Dict[str, Any],
    model: str,
    *,
    files: FileFacts = no_files,
    reply: Optional[Reply] = None,
    words_per_chunk: int = 3,
    hop: Hop = Hop(),
) -> Iterator[Dict[str, Any]]:
    """The chunks of the answer to a request (in its normal form)."""
    config = request.get("generationConfig") or {}
    told = Telling(request, model, hop)
    if hop.thinking and hop.token:
        told.thoughts = 7
        yield told.chunk(0, None, "CONTINUATION", hop.token(hop.start))
        return

    thinks = bool((config.get("thinkingConfig") or {}).get("includeThoughts"))
    if thinks and hop.start == 0:
        for piece in _groups(words(expected_thoughts(request)), 4):
            told.thoughts += len(piece)
            yield told.chunk(0, {"text": "".join(piece), "thought": True})

    calls = function_calls(request)
    for k, call in enumerate(calls):
        part: Dict[str, Any] = {"functionCall": call}
        if k == 0:
            part["thoughtSignature"] = make_signature(part)
        told.spoken += 1
        yield told.chunk(0, part, "STOP" if k == len(calls) - 1 else None)
    if calls:
        return

    # Of each candidate: the parts that it has still to give, with their tokens, and how it ends.
    lanes: List[Tuple[List[Tuple[Dict[str, Any], int]], str]] = []
    end = 0
    for index in range(_whole(config.get("candidateCount") or 1)):
        tokens, finish = answer_tokens(request, index, files=files, reply=reply)
        end = len(tokens) if hop.end is None else hop.end
        if end < len(tokens):
            finish = "CONTINUATION"
        tokens = [reworded(token, hop.variant) for token in tokens[hop.start : end]]
        parts = [({"text": "".join(piece)}, len(piece)) for piece in _groups(tokens, words_per_chunk)]
        if finish != "CONTINUATION":
            parts += _last_parts(config, told, index, thinks)
        lanes.append((parts or [({"text": ""}, 0)], finish))
    place = hop.start
    for k in range(max(len(parts) for parts, _ in lanes)):
        for index, (parts, finish) in enumerate(lanes):
            if k >= len(parts):
                continue
            part, cost = parts[k]
            told.spoken += cost
            place += cost
            ends, token = k == len(parts) - 1, None
            if hop.token and ends and finish in ("CONTINUATION", "MAX_TOKENS"):
                token = hop.token(end)
            elif hop.token and not ends and "text" in part and hop.checkpoint(k):
                token = hop.token(place)
            yield told.chunk(index, part, finish if ends else None, token)


def _last_parts(
    config: Dict[str, Any], told: Telling, index: int, thinks: bool
) -> List[Tuple[Dict[str, Any], int]]:
    """What follows the text: an image, and a signature on a part of no text."""
    parts: List[Tuple[Dict[str, Any], int]] = []
    if "IMAGE" in _modalities(config):
        picture = base64.b64encode(png(b"%d" % index + told.seed)).decode()
        parts.append(({"inlineData": {"mimeType": "image/png", "data": picture}}, 258))
    if thinks:
        signature = make_signature({"text": "", "of": told.response_id, "candidate": index})
        parts.append(({"text": "", "thoughtSignature": signature}, 0))
    return parts


def _groups(items: List[str], size: int) -> Iterator[List[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
