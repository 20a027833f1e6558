"""The request's fields, from the options."""

import argparse
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from ..depth import loads
from ..errors import ConfigurationError

DEFAULT_MODEL = "gemini-flash-latest"
MODEL_VARIABLE = "GEMINI_MODEL"


def model_of(args: argparse.Namespace) -> str:
    """The model: from the option, the environment, or the default."""
    model: str = args.model or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL
    return model


def request_fields(args: argparse.Namespace) -> Dict[str, Any]:
    """All request fields except the contents, as keyword arguments of `stream_generate`."""
    return {
        "system_instruction": args.system,
        "generation_config": _generation_config(args),
        "safety_settings": _safety_settings(args.safety),
        "tools": _tools(args),
    }


def _generation_config(args: argparse.Namespace) -> Optional[Dict[str, Any]]:
    config: Dict[str, Any] = {
        "temperature": args.temperature,
        "topP": args.top_p,
        "maxOutputTokens": args.max_tokens,
        "thinkingConfig": {**(args.thinking or {}), **({"includeThoughts": True} if args.thoughts else {})},
    }
    if args.schema is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = _schema(args.schema)
    for name, value in args.option:
        both_are_objects = isinstance(value, dict) and isinstance(config.get(name), dict)
        config[name] = {**config[name], **value} if both_are_objects else value
    return {name: value for name, value in config.items() if value not in (None, {})} or None


def _schema(path: str) -> Dict[str, Any]:
    try:
        schema = loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"--schema {path} cannot be read: {error.strerror}; name a file with a JSON schema"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"--schema {path} is not valid JSON: {error}") from error
    if not isinstance(schema, dict):
        raise ConfigurationError(f"--schema {path} is not a JSON schema; it must be an object")
    return schema


def _tools(args: argparse.Namespace) -> Optional[List[Dict[str, Any]]]:
    asked = (("googleSearch", args.search), ("codeExecution", args.code), ("urlContext", args.url_context))
    return [{name: {}} for name, wanted in asked if wanted] or None


def _safety_settings(settings: List[Tuple[str, str]]) -> Optional[List[Dict[str, str]]]:
    # The last one of a category is used.
    return [{"category": category, "threshold": each} for category, each in dict(settings).items()] or None
