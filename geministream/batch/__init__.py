"""Many prompts at once: on threads, or on any executor, which may be a cluster.

A worker makes one attempt at one prompt and never waits between two.  Its outcome
goes back to the thread that iterates over the results, and all decisions are made
there: whether to try again, when, and how many attempts may run at once.  So one
mechanism serves threads, processes and clusters, and a 429 that one worker gets
slows all of them down.

=============================  =================================================
the attempt                    what follows
=============================  =================================================
returned an answer             it is a result
got a 429                      nothing is sent until the server's delay has
                               passed; then concurrency is halved, and each
                               answer allows one more attempt again
failed temporarily             the prompt waits as `Retry` says, the workers do
                               not; the next attempt continues from the last
                               continuation token, or else starts over (nobody
                               has seen any of the answer yet)
failed for good                it is a result too, and stops nothing
=============================  =================================================

============  ==================================================================
``schedule``  the caller's thread: prompts taken, handed out, waiting, finished
``gate``      how many attempts at once, and from when
``worker``    one attempt: task, outcome, and the sessions that attempts share
``template``  how one item of ``requests`` becomes a request
``stop``      the batch's own switch, also at the program's exit
``result``    `BatchResult`
============  ==================================================================
"""

from collections.abc import Iterable as AnyIterable, Mapping as AnyMapping
from concurrent.futures import Executor
from typing import Any, Generator, Iterable, Mapping, Optional, Union

from ..cancel import Cancel
from ..endpoint import Endpoint, resolve
from ..errors import ConfigurationError
from ..parts import ContentsLike
from ..request import GenerationConfigLike, SafetySettingsLike, ToolConfigLike, ToolsLike, request_fields
from ..stream import stream_generate
from ..types.codec import shorten
from .result import BatchResult
from .schedule import Batch

__all__ = ["BatchResult", "generate_many"]


def generate_many(
    requests: Iterable[Any],
    *,
    executor: Optional[Executor] = None,
    max_workers: int = 8,
    model: Optional[str] = None,
    system_instruction: Optional[ContentsLike] = None,
    generation_config: GenerationConfigLike = None,
    safety_settings: SafetySettingsLike = None,
    tools: ToolsLike = None,
    tool_config: ToolConfigLike = None,
    cached_content: Optional[str] = None,
    extra_body: Optional[Mapping[str, Any]] = None,
    alt: str = "sse",
    endpoint: Union[None, str, Endpoint] = None,
    api_key: Optional[str] = None,
    deadline: Optional[float] = None,
    cancel: Optional[Cancel] = None,
) -> Generator[BatchResult, None, None]:
    """Send many prompts, several at once, and yield a result for each as it completes.

    ``requests`` may be endless: the next prompt is taken in the caller's thread when a
    worker is free, while the caller waits for a result.  At most ``2 * max_workers``
    prompts are between ``requests`` and the caller.  A prompt that fails raises nothing:
    it is a result with an ``error``.

    The arguments are checked now; threads and connections start at the first ``next()``
    and end with the generator.  Closing it, or leaving its loop with an exception, ends
    what runs on threads at once; what already runs in another process runs to its end
    there, and its answer is dropped.

    :param requests: an iterable of prompts (anything that ``stream_generate()`` takes as
        contents), of mappings with its fields (``contents``, ``model``,
        ``generation_config`` …, in snake_case or camelCase), or of both.
    :param executor: any ``concurrent.futures.Executor``, such as a process pool,
        ``dask.distributed.Client(…).get_executor()`` or
        ``mpi4py.futures.MPIPoolExecutor()``; it is not shut down.  None: own threads.
    :param max_workers: how many prompts are with the executor at once; default 8.
    :param model: for requests without one; so are the other fields of a request, from
        ``system_instruction`` to ``extra_body``.
    :param alt: the framing to ask for, ``"sse"`` or ``"json"``.
    :param endpoint: an `Endpoint` or a base URL; default: from the environment.  All
        threads share its ``session`` if it has one; otherwise each thread of a worker
        has its own.  Its ``retry`` applies to each prompt.
    :param api_key: overrides the endpoint's key.
    :param deadline: seconds for each prompt, from its first attempt, including retries.
    :param cancel: a `Cancel`, whose ``cancel()`` ends the batch from another thread.
    :returns: a generator of `BatchResult`, in the order of completion.
    :raises ConfigurationError: at the call, if an argument is not valid.
    :raises StreamCancelled: from the generator, after ``cancel`` was used and the results
        that were complete by then were yielded.
    :raises Exception: from the generator, what iterating over ``requests`` or handing a
        prompt to the executor raised, after the results of all prompts that began.

    >>> for result in generate_many(["one", "two"], model="gemini-2.5-flash"):    # doctest: +SKIP
    ...     print(result.index, result.error or result.text)
    """
    fields = request_fields(locals())
    endpoint = resolve(endpoint, api_key)
    if isinstance(requests, (str, bytes, AnyMapping)) or not isinstance(requests, AnyIterable):
        raise ConfigurationError(
            f"requests must be an iterable of prompts, got {shorten(requests)}; put a single prompt in a list"
        )
    if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
        raise ConfigurationError(f"max_workers= must be an integer >= 1, got {max_workers!r}")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise ConfigurationError(f"executor= must be a concurrent.futures.Executor, got {executor!r}")
    # stream_generate() checks the rest itself; nothing is sent.
    stream_generate(
        "any" if model is None else model,
        "any",
        alt=alt,
        endpoint=Endpoint(auth=()),
        deadline=deadline,
        cancel=cancel,
        **fields,
    )
    batch = Batch(iter(requests), {"model": model, **fields}, endpoint, alt, max_workers, deadline)
    return batch.results(executor, cancel)
