"""How much memory a block of code allocates."""

import pytest


class TracedMemory:
    """A context manager that traces allocations, and skips the test where Python cannot trace them.

    :ivar current: what the block allocated and did not free, in bytes; set at its end.
    :ivar peak: the most that was allocated at once, in bytes; set at its end.
    """

    def __enter__(self):
        self._tracemalloc = pytest.importorskip("tracemalloc", reason="only CPython traces memory")
        self._tracemalloc.start()
        return self

    def __exit__(self, *error):
        self.current, self.peak = self._tracemalloc.get_traced_memory()
        self._tracemalloc.stop()

    def allocated_in(self, files, excluding):
        """The bytes that code of these files (shell patterns) has allocated so far and not freed."""
        patterns = [self._tracemalloc.Filter(True, files), self._tracemalloc.Filter(False, excluding)]
        return sum(trace.size for trace in self._tracemalloc.take_snapshot().filter_traces(patterns).traces)
