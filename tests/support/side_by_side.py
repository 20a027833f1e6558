"""The tests side by side, in several processes.

One process waits for half of its time: for countdowns, silent servers, programs.
So pytest's own process collects the tests and forks workers.  A worker takes the
next file that nobody has begun, and reports to pytest's process.  A file is never
divided, so its fixtures are made once.  Files with the marker ``early``, which
take long, begin first: at the end, nobody waits for them.  Tests with the marker
``alone``, which measure how fast something is, run when the workers have ended.

``--workers 1``, ``--pdb``, ``-s`` and a system without `os.fork` leave all tests
to pytest's own process, and so does a single file.
"""

import os
import signal
import traceback
import warnings
from itertools import chain, groupby
from multiprocessing.connection import Pipe, wait

import pytest

FIGURES = {}  # what tests count or measure: the largest number of each name
_NUMBER = 4  # bytes of a file's number in the queue


def pytest_addoption(parser):
    parser.addoption(
        "--workers",
        type=int,
        metavar="N",
        help="processes that share the test files (default: three for each processor, at most 8)",
    )


def pytest_runtestloop(session):
    """Run all tests; None leaves them to pytest's own loop."""
    alone = [item for item in session.items if item.get_closest_marker("alone")]
    together = [item for item in session.items if item not in alone]
    files = [list(items) for _, items in groupby(together, key=lambda item: item.path)]
    files.sort(key=lambda items: not any(item.get_closest_marker("early") for item in items))
    count = min(_wanted(session.config), len(files))
    if count < 2 or session.testsfailed or session.config.option.collectonly:
        return None
    queue = _queue_of_numbers(len(files))
    workers = []
    try:
        for _ in range(count):
            workers.append(_Worker(session, files, queue))
        _listen(session, files, queue, workers)
        if alone and not (session.shouldfail or session.shouldstop):
            workers.append(_Worker(session, files, queue, alone))
            _listen(session, files, queue, workers[-1:])
    finally:
        os.close(queue)
        for worker in workers:
            worker.kill()
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
    return True


def _wanted(config):
    if not hasattr(os, "fork") or config.option.usepdb or config.option.capture == "no":
        return 1
    if config.option.workers is not None:
        return config.option.workers
    has = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(3 * has, 8)


def _queue_of_numbers(count):
    """A pipe that holds the numbers below `count`: a number that is read is the reader's alone."""
    reader, writer = os.pipe()
    # Written before anyone reads: a pipe takes 64 KiB, the numbers of 16,384 files.
    os.write(writer, b"".join(number.to_bytes(_NUMBER, "big") for number in range(count)))
    os.close(writer)
    return reader


def _listen(session, files, queue, workers):
    """Pass on what the workers say to pytest, until all have ended."""
    talking = {worker.reader: worker for worker in workers}
    while talking:
        for reader in wait(list(talking)):
            try:
                message = reader.recv()
            except EOFError:
                left = talking.pop(reader).ended()
                if left and not (session.shouldfail or session.shouldstop):
                    workers.append(_Worker(session, files, queue, left))
                    talking[workers[-1].reader] = workers[-1]
            else:
                talking[reader].said(*message)
        if session.shouldfail or session.shouldstop:
            while os.read(queue, 4096):  # what nobody has begun, nobody begins
                pass


class _Worker:
    """A worker, as pytest's own process sees it.

    :param left: the tests that it runs before it takes files.
    """

    def __init__(self, session, files, queue, left=()):
        self._session = session
        self._files = files
        self._left = list(left)  # the first of them runs
        self._last_words = ""
        session.config.pluginmanager.getplugin("terminalreporter").flush()
        self.reader, writer = Pipe(duplex=False)
        self._pid = os.fork()
        if not self._pid:
            _work(session, files, queue, writer, left)
        writer.close()

    def said(self, what, value):
        hook = self._session.config.hook
        if what == "takes":
            self._left += self._files[value]
        elif what == "ran":
            item = self._left.pop(0)
            for data in value:
                report = hook.pytest_report_from_serializable(config=self._session.config, data=data)
                hook.pytest_runtest_logreport(report=report)
            hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        elif what == "warning":
            hook.pytest_warning_recorded.call_historic(kwargs=value)
        elif what == "figures":
            for name, number in value.items():
                FIGURES[name] = max(number, FIGURES.get(name, number))
        elif what == "last words":
            self._last_words = value

    def ended(self):
        """It says nothing any more; return the tests that another has to run.

        If tests are left, the first of them has ended the process, and that is a failure.
        """
        status = os.waitpid(self._pid, 0)[1]
        self._pid = None
        if not (self._left or status):
            return []
        item, left = (self._left or [self._session])[0], self._left[1:]
        location = getattr(item, "location", ("", None, ""))
        why = f"The worker's process ended with wait status {status}.\n{self._last_words}"
        report = pytest.TestReport(item.nodeid, location, {}, "failed", why, "call")
        self._session.config.hook.pytest_runtest_logreport(report=report)
        return left

    def kill(self):
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _work(session, files, queue, writer, left):
    """All that a worker's process does."""
    status = 1
    try:
        _separate(session.config, writer)
        _run_items(session, chain(left, _items(files, queue, writer)))
        writer.send(("figures", FIGURES))
        status = 0
    except BaseException:
        writer.send(("last words", traceback.format_exc()))
    finally:
        os._exit(status)  # what is to be done at the end is for pytest's own process to do


def _separate(config, writer):
    """From now on this process captures output for itself, and prints nothing."""
    manager = config.pluginmanager
    capture = manager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture()
    terminal = manager.unregister(name="terminalreporter")
    manager.register(_Reporter(config, writer, terminal), "terminalreporter")


def _items(files, queue, writer):
    while True:
        data = os.read(queue, _NUMBER)
        if not data:
            return
        number = int.from_bytes(data, "big")
        writer.send(("takes", number))
        yield from files[number]


def _run_items(session, items):
    item = next(items, None)
    while item and not (session.shouldfail or session.shouldstop):
        # The next test is known before this one runs: fixtures that both use are kept.
        following = next(items, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        item = following


class _Reporter:
    """In the worker's pytest, what reports to the terminal otherwise."""

    def __init__(self, config, writer, terminal):
        self._tw = terminal._tw  # other plugins ask it whether to colour what they report
        self._config = config
        self._writer = writer
        self._reports = []  # those of the test that runs: sent together, they take less time

    def pytest_runtest_logreport(self, report):
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._reports.append(data)

    def pytest_runtest_logfinish(self):
        self._writer.send(("ran", self._reports))
        self._reports = []

    def pytest_warning_recorded(self, warning_message, when, nodeid, location):
        warning = warnings.WarningMessage(
            str(warning_message.message),
            warning_message.category,
            warning_message.filename,
            warning_message.lineno,
        )
        self._writer.send(
            ("warning", dict(warning_message=warning, when=when, nodeid=nodeid, location=location))
        )
