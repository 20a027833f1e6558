"""Python callables as tools: their declarations, and the calls of a model.

`function_declaration` declares a callable; `Toolbox` holds the tools of one
conversation.  ``stream_generate()`` declares callables and reports the calls;
only ``Chat`` runs them.
"""

import functools
import inspect
import logging
import re
import traceback
from collections.abc import Mapping as AnyMapping
from dataclasses import MISSING
from typing import Any, Callable, Dict, List, Mapping, Set

from ..errors import ConfigurationError
from ..types import FunctionDeclaration, Tool
from ..types.codec import from_request, shorten
from .annotations import Annotations, names_at, with_default
from .docstrings import read_docstring
from .schema import Property, Record, schema_of
from .values import Mismatch, in_words, to_json

log = logging.getLogger("geministream")

# https://ai.google.dev/api/caching#FunctionDeclaration; a Python name has no dots or dashes.
_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def function_declaration(function: Callable[..., Any]) -> FunctionDeclaration:
    """Declare a callable for a model, from its signature, type hints and docstring.

    The parameters' types may be str, int, float, bool, Literal, Enum, Optional,
    Union, lists, tuples, dicts with str keys, dataclasses and TypedDicts, in the
    spellings of Python 3.8 (``Optional[List[int]]``) and of today
    (``list[int] | None``).  A parameter with a default is optional for the model.
    Descriptions come from the docstring (Google's, Sphinx's or NumPy's style) or from
    ``Annotated[int, "description"]``; the rest of the docstring describes the function.

    :param function: a function, a bound method, or a ``functools.partial`` of one.
    :raises ConfigurationError: if a parameter cannot be declared, with its name.

    >>> def temperature(city: str, unit: str = "celsius") -> float:
    ...     '''Return the temperature of the air.
    ...
    ...     :param city: its name, in English
    ...     '''
    ...     return 20.5
    >>> declaration = function_declaration(temperature)
    >>> declaration.name, declaration.description
    ('temperature', 'Return the temperature of the air.')
    >>> declaration.parameters_json_schema["properties"]["city"]
    {'type': 'string', 'description': 'its name, in English'}
    >>> declaration.parameters_json_schema["required"]
    ['city']
    """
    return Function(function).declaration


class Function:
    """A callable that a model may call.

    :ivar declaration: its name, description and parameters, for the model.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        called: Any = function
        while isinstance(called, functools.partial):
            called = called.func
        bare = inspect.unwrap(called)
        name = str(getattr(bare, "__name__", ""))
        if not callable(function) or not _name.fullmatch(name):
            what = shorten(name) if name else f"a {type(function).__name__}"
            raise ConfigurationError(
                f"{what} cannot be declared to a model; pass a function whose name has at most 64 "
                "ASCII letters, digits and underscores"
            )
        # Look at the callable and not at what it wraps: a wrapper may run an asynchronous function.
        call = getattr(type(called), "__call__", None)  # noqa: B004  # looked at, not called
        if any(map(_is_asynchronous, (called, call))):
            raise ConfigurationError(
                f"{name}() is asynchronous and would not be awaited; pass a synchronous function"
            )
        text, descriptions = read_docstring(bare.__doc__)
        self._function = function
        self._parameters = _parameters(function, bare, name, descriptions)
        self.declaration = FunctionDeclaration(name=name, description=text or None)
        # Google refuses an object without properties.
        if self._parameters.properties:
            self.declaration.parameters_json_schema = schema_of(self._parameters)

    def arguments(self, args: Any) -> Dict[str, Any]:
        """Return the arguments of a call as Python values of the parameters' types.

        :param args: the arguments that the model sent.
        :raises Mismatch: if one does not fit; its text names the argument.
        """
        try:
            read: Dict[str, Any] = self._parameters.read({} if args is None else args, "$")
        except Mismatch:
            raise
        except Exception as error:  # nested too deeply, or raised by a type's own code, such as its __eq__
            raise Mismatch("$", in_words(error)) from error
        return read

    def run(self, arguments: Mapping[str, Any]) -> Dict[str, Any]:
        """Call the function and return the response for the model.

        A mapping becomes the response itself, any other result ``{"result": …}``, and an
        exception, or a result that has no JSON form, ``{"error": …}``.
        """
        try:
            result = self._function(**arguments)
        except Exception as error:
            # The log says where it was raised but omits its text, which may hold content.
            at = traceback.extract_tb(error.__traceback__)[-1]
            log.debug(
                "the function %s raised %s at %s:%s",
                self.declaration.name,
                type(error).__name__,
                at.filename,
                at.lineno,
            )
            return failure(in_words(error))
        try:
            response: Any = to_json(result)
            return response if isinstance(result, AnyMapping) else {"result": response}
        except Exception as error:  # also from the result's own code, such as a property
            log.debug("the function %s returned a value that is not valid JSON", self.declaration.name)
            reason = str(error) if isinstance(error, Mismatch) else in_words(error)
            return failure(f"the function's result is not valid JSON: {reason}")


def _is_asynchronous(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def failure(reason: str) -> Dict[str, Any]:
    """Return the response to a model with the reason why there is no result."""
    # A lone surrogate cannot be sent.
    return {"error": reason.encode("utf-8", "replace").decode("utf-8")}


class Toolbox:
    """The tools of a conversation.

    :param tools: as for `stream_generate`.
    :ivar declared: the tools for a request, with declarations in place of callables.
    :ivar functions: name to `Function`, for each callable.
    :ivar others: the names of functions that are declared without a callable.
    :raises ConfigurationError: if a callable cannot be declared, or two functions have one name.
    """

    def __init__(self, tools: Any) -> None:
        self.declared: List[Any] = []
        self.functions: Dict[str, Function] = {}
        self.others: Set[str] = set()
        if tools is None:
            tools = ()
        for tool in tools if isinstance(tools, (list, tuple)) else [tools]:
            if isinstance(tool, FunctionDeclaration):
                self._declare(tool)
                self.declared.append(tool)
            elif callable(tool):
                function = Function(tool)
                self._declare(function.declaration, function)
                self.declared.append(function.declaration)
            else:
                understood = from_request(Tool, tool, "tools")
                for declaration in understood.function_declarations or ():
                    self._declare(declaration)
                self.declared.append(understood)

    def _declare(self, declaration: Any, function: Any = None) -> None:
        name = str(getattr(declaration, "name", ""))
        if name in self.functions or name in self.others:
            raise ConfigurationError(f"tools= has two functions with the name {name!r}; rename one of them")
        if function is None:
            self.others.add(name)
        else:
            self.functions[name] = function


def _parameters(
    function: Callable[..., Any], bare: Any, name: str, descriptions: Mapping[str, str]
) -> Record:
    """Return the parameters of a callable as a record that makes its keyword arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the signature of {name}() cannot be read: {error}") from error
    names = getattr(bare, "__globals__", None) or names_at(bare)
    annotations = Annotations()
    record = Record(name, "", dict)
    for parameter in signature.parameters.values():
        where = f"the argument {parameter.name!r} of {name}()"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigurationError(
                f"{where} cannot be declared to a model: it is {parameter.kind.description}, "
                "and a model passes each argument by name"
            )
        if parameter.annotation is parameter.empty:
            raise ConfigurationError(f"{where} has no type annotation; add one")
        required = parameter.default is parameter.empty
        record.properties[parameter.name] = Property(
            annotations.kind(parameter.annotation, names, where),
            required,
            with_default(descriptions.get(parameter.name, ""), MISSING if required else parameter.default),
        )
    return record
