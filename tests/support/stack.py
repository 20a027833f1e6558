"""Calls far down the stack, where little of it is left."""

import gc
import inspect
import sys


def with_calls_left(left, use):
    """Return what ``use()`` returns where Python allows so many more calls."""

    def below(calls):
        return below(calls - 1) if calls else use()

    gc.collect()
    gc.disable()  # what else it would finalize there has no stack for that
    try:
        return below(sys.getrecursionlimit() - len(inspect.stack()) - left)
    finally:
        gc.enable()
