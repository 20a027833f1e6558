"""A small deterministic "model" that shows what it received.

It understands nothing.  It repeats what was sent, by the rules below, so that a
test can compute the complete answer from the request (:func:`expected_text`) and
see that every byte arrived.

* The answer consists of lines: ``System instruction: …`` if there is one,
  ``I was sent N contents.`` if there are several, then one line for each part
  of the last content.  Text is ``You said: …``, inline data is ``You sent
  image/png, 68 bytes, SHA-256 ….``, a file is ``You sent the file URI,
  video/mp4, 1024 bytes, SHA-256 ….`` (as far as the server knows it), a
  function response is ``NAME answered {…}``.
* With ``responseMimeType: application/json`` the answer is JSON: an instance of
  the schema (`samples.instance_of`), or ``{"text": …}`` without a schema.  With
  ``text/x.enum`` it is the first value of the schema.
* A declared function is called if the last text names it: ``name({…})`` with
  these arguments, a bare ``name`` with arguments made from its schema.  Mode
  ANY calls at least the first allowed function, NONE calls none.  An answer
  with calls has no text.
* A token is a word and the whitespace after it.  ``maxOutputTokens`` counts
  these (thoughts are free); ``stopSequences`` end the text before them.
* Candidates after the first begin with ``(2) ``, ``(3) `` …
* ``includeThoughts`` adds thoughts before the text, and after it a part with
  empty text and a thought signature.
* ``responseModalities`` with IMAGE adds a small PNG; without TEXT it is alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from ..depth import is_deep, raw_decode
from .json_checks import DEEPEST
from .prompt import bytes_of, last_parts, normal, prompt_text, prompt_token_details, whole_number, words
from .samples import instance_of

#: Returns (MIME type, size, SHA-256) for the URI of a file, or None for an unknown file.
FileFacts = Callable[[str], Optional[Tuple[str, int, str]]]
#: Names of enums by their numbers.
MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
MODALITIES = ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO")
#: Returns the text for a request; replaces the rules.
Reply = Callable[[Dict[str, Any]], Optional[str]]


def no_files(uri: str) -> None:
    """Return None for every file: the `FileFacts` of a server without files."""


def expected_text(
    request: Dict[str, Any], candidate: int = 0, *, files: FileFacts = no_files, reply: Optional[Reply] = None
) -> str:
    """The complete text of the model's answer to a request (a dict, in camelCase or snake_case).

    `files` and `reply` belong to a server; ``LocalServer.expected_text`` passes them.
    """
    return "".join(answer_tokens(normal(request), candidate, files=files, reply=reply)[0])


def expected_thoughts(request: Dict[str, Any]) -> str:
    """The complete text of the thoughts, if the request asks for them."""
    request = normal(request)
    tokens = sum(prompt_token_details(request).values())
    return f"**Reading the prompt**\n\nIt has {tokens} tokens in {len(last_parts(request))} parts.\n"


def _text_about(request: Dict[str, Any], files: FileFacts) -> str:
    """The lines that say what was sent."""
    lines = []
    system = request.get("systemInstruction")
    if system:
        text = " ".join(part.get("text") or "" for part in system.get("parts") or [])
        lines.append(f"System instruction: {text}")
    if len(request["contents"]) > 1:
        lines.append(f"I was sent {len(request['contents'])} contents.")
    lines += [_line_of(part, files) for part in last_parts(request)]
    return "\n".join(lines)


def _line_of(part: Dict[str, Any], files: FileFacts) -> str:
    if part.get("inlineData"):
        blob = part["inlineData"]
        data = bytes_of(blob.get("data") or "")
        digest = hashlib.sha256(data).hexdigest()
        return f"You sent {blob.get('mimeType')}, {len(data)} bytes, SHA-256 {digest}."
    if part.get("fileData"):
        uri = part["fileData"].get("fileUri") or ""
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
    """The tokens of the text, cut off at the request's limits, and the finish reason."""
    config = request.get("generationConfig") or {}
    schemas = ("responseJsonSchema", "_responseJsonSchema", "responseSchema")
    schema = next((config[name] for name in schemas if config.get(name)), None)
    mime_type = config.get("responseMimeType")
    said = reply(request) if reply is not None else None
    if function_calls(request) or modalities(config) == {"IMAGE"}:
        text = ""
    elif said is not None:
        text = said
    elif mime_type == "application/json":
        made = instance_of(schema) if schema else {"text": _text_about(request, files)}
        text = json.dumps(made, ensure_ascii=False)
    elif mime_type == "text/x.enum" and schema:
        text = str(instance_of(schema))
    else:
        text = _text_about(request, files)
    if candidate and text:
        text = f"({candidate + 1}) {text}"
    for stop in filter(None, config.get("stopSequences") or []):
        text = text.partition(stop)[0]
    tokens = words(text)
    limit = config.get("maxOutputTokens")
    if limit is not None and len(tokens) > whole_number(limit):
        return tokens[: whole_number(limit)], "MAX_TOKENS"
    return tokens, "STOP"


def modalities(config: Dict[str, Any]) -> Set[str]:
    """The modalities that an answer has."""
    return {_enum(each, MODALITIES) for each in config.get("responseModalities") or ["TEXT"]}


def _enum(value: Any, names: Sequence[str]) -> str:
    """An enum's name in capitals; some clients send its number."""
    known = isinstance(value, int) and 0 <= value < len(names)
    return names[value] if known else str(value).upper()


def function_calls(request: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The `functionCall`s that the model answers with; usually none."""
    if any("functionResponse" in part for part in last_parts(request)):
        return []
    config = (request.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = _enum(config.get("mode") or "AUTO", MODES)
    allowed = config.get("allowedFunctionNames")
    declared: Dict[str, Dict[str, Any]] = {}
    for tool in request.get("tools") or []:
        for declaration in tool.get("functionDeclarations") or []:
            name = declaration.get("name")
            if name and (not allowed or name in allowed):
                declared[name] = declaration
    if mode == "NONE" or not declared:
        return []
    text = prompt_text(request)
    calls: List[Dict[str, Any]] = []
    names = "|".join(re.escape(name) for name in sorted(declared, key=len, reverse=True))
    for match in re.finditer(rf"(?<![\w.])({names})(?![\w])(\(\s*)?", text):
        args: Optional[Dict[str, Any]] = None
        if match.group(2) is not None:
            try:
                value, _ = raw_decode(text, match.end())
                args = value if isinstance(value, dict) and not is_deep(value, DEEPEST) else None
            except (ValueError, RecursionError):
                pass  # not arguments
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
