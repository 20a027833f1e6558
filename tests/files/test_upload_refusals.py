"""What cannot be uploaded, and arguments that cannot work."""

import io
import threading

import pytest
from support.uploads import CONTENT, STEP, Once

from geministream import (
    BadRequestError,
    ConfigurationError,
    Endpoint,
    delete_file,
    get_file,
    list_files,
    upload_file,
    wait_for_file,
)
from geministream.testing import LocalServer


def _empty_file(tmp_path):
    (tmp_path / "empty.mp3").touch()
    return tmp_path / "empty.mp3"


def _at_its_end(tmp_path):
    file = io.BytesIO()
    file.write(b"just written")
    return file


def _closed(tmp_path):
    file = io.BytesIO(b"x")
    file.close()
    return file


def _write_only(tmp_path):
    return (tmp_path / "out.mp3").open("wb")


class _NonBlocking:
    """As a pipe in non-blocking mode into which nobody has written yet."""

    def read(self, size=-1):
        return None if size else b""


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda t: t / "nowhere.mp3", "nowhere.mp3 cannot be read"),
        (lambda t: str(t / "nowhere.mp3"), "nowhere.mp3 cannot be read"),
        (lambda t: t, "is a directory"),
        (lambda t: "a\0b.mp3", "is not a valid path"),
        (_empty_file, "is empty"),
        (lambda t: b"", "the source is empty"),
        (lambda t: io.BytesIO(), "the source is empty"),
        (lambda t: Once(b""), "the source is empty"),
        (_at_its_end, "call seek"),
        (_closed, "closed file"),
        (_write_only, "cannot be read"),
        (lambda t: _NonBlocking(), "no data yet"),
        (lambda t: io.StringIO("text"), "mode 'rb'"),
        (lambda t: 42, "got 42"),
        (lambda t: None, "got None"),
        (lambda t: ["a.mp3"], "got \\["),
    ],
)
def test_values_that_are_not_a_valid_source(either, tmp_path, make, says):
    source = make(tmp_path)
    with pytest.raises(ConfigurationError, match=says):
        upload_file(source, mime_type="audio/mpeg", endpoint=either.endpoint)
    assert either.request_count == 0
    if hasattr(source, "close"):
        source.close()


@pytest.mark.parametrize(
    "arguments, says",
    [
        (dict(mime_type=None), "cannot guess the MIME type of a source without a name"),
        (dict(mime_type="mp3"), "got 'mp3'"),
        (dict(mime_type="a/b\r\nX-Evil: 1"), "mime_type= must be"),
        (dict(mime_type="אודיו/mp3"), "mime_type= must be"),
        (dict(mime_type=7), "mime_type= must be"),
        (dict(display_name=b"x"), "display_name="),
        (dict(name="a/b"), "is not a valid file name"),
        (dict(name=""), "is not a valid file name"),
        (dict(name=5), "name="),
        (dict(chunk_bytes=0), "chunk_bytes="),
        (dict(chunk_bytes=1.5), "chunk_bytes="),
        (dict(chunk_bytes=True), "chunk_bytes="),
        (dict(progress=1), "progress="),
        (dict(cancel=threading.Event()), "cancel="),
    ],
)
def test_impossible_arguments(server, arguments, says):
    with pytest.raises(ConfigurationError, match=says):
        upload_file(b"x", **{"mime_type": "audio/mpeg", "endpoint": server.endpoint, **arguments})
    assert server.request_count == 0


def test_a_name_without_a_known_mime_type(server, tmp_path):
    (tmp_path / "thing.unheard-of").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="from the name 'thing.unheard-of'; pass mime_type="):
        upload_file(tmp_path / "thing.unheard-of", endpoint=server.endpoint)


def test_without_a_key(monkeypatch):
    with pytest.raises(ConfigurationError, match="no API key"):
        upload_file(b"x", mime_type="text/plain")
    with pytest.raises(ConfigurationError, match="no API key"):
        list_files()


def test_vertex_has_no_files():
    endpoint = Endpoint.vertex("project", "global", "token")
    for call in (
        lambda: upload_file(b"x", mime_type="text/plain", endpoint=endpoint),
        lambda: list_files(endpoint=endpoint),
        lambda: get_file("x", endpoint=endpoint),
        lambda: delete_file("x", endpoint=endpoint),
        lambda: wait_for_file("x", endpoint=endpoint),
    ):
        with pytest.raises(ConfigurationError, match="Cloud Storage"):
            call()


def test_a_source_that_cannot_be_read_any_more(either):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= STEP:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(ConfigurationError, match="cannot be read: .*Input/output error"):
        upload_file(Failing(CONTENT), mime_type="audio/mpeg", endpoint=either.endpoint, chunk_bytes=STEP)
    assert not either.files
    assert either.request_count <= 2  # it is not tried again


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda file: file.truncate(2 * STEP + 5), "fewer"),
        (lambda file: (file.seek(0, io.SEEK_END), file.write(b"more")), "more"),
    ],
)
def test_a_file_that_changes_its_size_under_way(either, tmp_path, change, says):
    path = tmp_path / "log.txt"
    path.write_bytes(CONTENT)

    def progress(sent, total):
        if sent == STEP:
            with path.open("r+b") as file:
                change(file)

    with pytest.raises(ConfigurationError, match=f"had {len(CONTENT)} bytes and has {says} now"):
        upload_file(path, endpoint=either.endpoint, chunk_bytes=STEP, progress=progress)
    assert not either.files


@pytest.mark.parametrize("profile", ["google", "bifrost"])
def test_what_the_server_refuses(profile):
    with LocalServer(profile=profile, max_file_bytes=1000) as server:
        with pytest.raises(BadRequestError, match="at most 1000 bytes"):
            upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint, chunk_bytes=STEP)
        assert server.request_count == 1
