"""After the upload: get, list and delete files, and put them into contents."""

import time
from dataclasses import replace

import pytest
from support import readme
from support.raw_server import RawServer
from support.uploads import CONTENT, Talk, failure, raw_endpoint, reply, sha256

from geministream import (
    Cancel,
    ConfigurationError,
    File,
    NotFoundError,
    PermissionDeniedError,
    StreamCancelled,
    StreamDecodeError,
    collect,
    delete_file,
    get_file,
    list_files,
    part_from_path,
    stream_generate,
    upload_file,
    wait_for_file,
)
from geministream.testing import Answer, LocalServer


def test_get(server):
    file = upload_file(b"hello", mime_type="text/plain", name="my-file", endpoint=server.endpoint)
    for name in (
        "files/my-file",
        "my-file",
        " my-file\n",
        file,
        file.uri,
        File(uri=file.uri),
        file.uri + ":download?alt=media",
        "https://elsewhere.example/v1/files/my-file",
    ):
        assert get_file(name, endpoint=server.endpoint) == file
        assert server.requests[-1].path == "/v1beta/files/my-file"


def test_get_at_a_gateway():
    with LocalServer(profile="bifrost") as server:
        file = upload_file(b"hello", mime_type="text/plain", endpoint=server.endpoint)
        assert get_file(file, endpoint=server.endpoint) == file
        assert file in list(list_files(endpoint=server.endpoint))
        delete_file(file, endpoint=server.endpoint)
        assert not server.files


@pytest.mark.parametrize(
    "name",
    [
        "",
        "files/",
        " ",
        "a/b",
        "files/a/b",
        "../models",
        "..",
        ".",
        "a b",
        "a?b",
        "a#b",
        "a\\b",
        "a\x00b",
        None,
        5,
        b"abc",
        File(),
        File(name=""),
        "gs://bucket/object",
        "https://example.com/other/abc",
        "https://example.com/v1/files/",
        "https://example.com/v1/files/a/b",
        "http://[::1/v1/models/x",
    ],
)
def test_what_names_no_file(server, name):
    for call in (get_file, delete_file, wait_for_file):
        with pytest.raises(ConfigurationError, match="is not a valid file name"):
            call(name, endpoint=server.endpoint)
    assert server.request_count == 0


def test_an_unusual_name_is_quoted():
    talk = Talk(reply({"name": "files/file-ü:1+%"}))
    with RawServer(talk) as server:
        get_file("files/file-ü:1+%", endpoint=raw_endpoint(server))
    assert talk.requests[0][2] == "/v1beta/files/file-%C3%BC%3A1%2B%25"


def test_no_such_file(server):
    for call in (get_file, delete_file, wait_for_file):
        with pytest.raises(PermissionDeniedError, match="may not exist"):
            call("nowhere", endpoint=server.endpoint)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_list_goes_through_all_pages(server, count):
    names = [f"files/f-{k}" for k in range(count)]
    for name in names:
        upload_file(b"x", mime_type="text/plain", name=name, endpoint=server.endpoint)
    before = server.request_count
    assert [file.name for file in list_files(page_size=3, endpoint=server.endpoint)] == names
    assert server.request_count - before == max(1, -(-count // 3))
    assert all(r.query["pageSize"] == "3" for r in server.requests[before:])
    assert [file.name for file in list_files(endpoint=server.endpoint)] == names


def test_list_asks_for_a_page_when_the_loop_gets_there(server):
    for _ in range(4):
        upload_file(b"x", mime_type="text/plain", endpoint=server.endpoint)
    before = server.request_count
    files = list_files(page_size=2, endpoint=server.endpoint)
    assert server.request_count == before
    next(files), next(files)
    assert server.request_count == before + 1
    files.close()
    server.wait_for_connections(0)


def test_list_is_asked_again(server):
    answers = [Answer.failure(503), Answer.nothing("drop"), None]
    server.answer_with(lambda recorded: answers.pop(0))
    assert list(list_files(endpoint=server.endpoint)) == []
    assert server.request_count == 3


def test_a_list_without_end():
    page = reply({"files": [{"name": "files/x"}], "nextPageToken": "t"})
    with RawServer(Talk(page, page, page)) as server:
        with pytest.raises(StreamDecodeError, match="does not end"):
            list(list_files(endpoint=raw_endpoint(server)))


@pytest.mark.parametrize("token", [{"a": 1}, ["t"], 5, True, "\ud800"])
def test_a_page_token_that_is_not_a_string(token):
    page = reply({"files": [{"name": "files/x"}], "nextPageToken": token})
    with RawServer(Talk(page, page)) as server:
        files = list_files(endpoint=raw_endpoint(server))
        assert next(files).name == "files/x"
        with pytest.raises(StreamDecodeError, match="nextPageToken"):
            next(files)


@pytest.mark.parametrize("page_size", [0, -1, 1.0, "5", True, None])
def test_page_size(server, page_size):
    with pytest.raises(ConfigurationError, match="page_size="):
        list_files(page_size=page_size, endpoint=server.endpoint)


def test_delete(server):
    file = upload_file(b"x", mime_type="text/plain", endpoint=server.endpoint)
    assert delete_file(file, endpoint=server.endpoint) is None
    assert not server.files
    assert server.requests[-1].method == "DELETE"


def test_delete_whose_answer_is_lost():
    """The file is gone at the second attempt because the first deleted it."""

    class Losing(Talk):
        def __call__(self, connection):
            if connection.number == 0:
                connection.read_request()
                connection.reset()
            else:
                super().__call__(connection)

    with RawServer(Losing(failure(404))) as server:
        delete_file("x", endpoint=raw_endpoint(server))
    with RawServer(Talk(failure(404))) as server, pytest.raises(NotFoundError):
        delete_file("x", endpoint=raw_endpoint(server))
    # A redirect is no attempt that may have deleted anything.
    moved = reply(status="307 Moved", location="/v1/files/x")
    with RawServer(Talk(moved, failure(404))) as server, pytest.raises(NotFoundError):
        delete_file("x", endpoint=raw_endpoint(server))


def test_get_is_asked_again_after_a_silence(server):
    upload_file(b"x", mime_type="text/plain", name="x", endpoint=server.endpoint)
    answers = [Answer.nothing("stall"), None]
    server.answer_with(lambda recorded: answers.pop(0))
    assert get_file("x", endpoint=replace(server.endpoint, timeout=(5, 0.6))).name == "files/x"


def test_cancel_looking_after_files(server):
    cancel = Cancel()
    cancel.cancel()
    for call in (get_file, delete_file, wait_for_file):
        with pytest.raises(StreamCancelled):
            call("x", endpoint=server.endpoint, cancel=cancel)
    with pytest.raises(StreamCancelled):
        next(list_files(endpoint=server.endpoint, cancel=cancel))
    assert server.request_count == 0


# In contents -------------------------------------------------------------------------------


def test_a_file_goes_into_contents(server):
    file = upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint)
    answer = collect(
        stream_generate("gemini-flash-latest", ["Describe this", file], endpoint=server.endpoint)
    )
    assert str(len(CONTENT)) in answer.text and sha256(CONTENT)[:8] in answer.text
    part = server.requests[-1].json["contents"][0]["parts"][1]
    assert part == {"fileData": {"fileUri": file.uri, "mimeType": "audio/mpeg"}}


def test_a_file_that_is_not_ready_raises_before_the_request():
    with LocalServer(processing_seconds=1000) as server:
        file = upload_file(b"moov", mime_type="video/mp4", endpoint=server.endpoint)
        before = server.request_count
        with pytest.raises(ConfigurationError, match="wait_for_file"):
            stream_generate(
                "gemini-flash-latest", ["Describe this video clip", file], endpoint=server.endpoint
            )
        assert server.request_count == before


@pytest.mark.parametrize("name, size", [("talk.wav", 75 * 10**6 + 1), ("report.pdf", 50 * 10**6 + 1)])
def test_past_the_inline_limit_upload_file_is_named(tmp_path, name, size):
    with (tmp_path / name).open("wb") as file:
        file.truncate(size)
    with pytest.raises(ConfigurationError, match="upload_file"):
        part_from_path(tmp_path / name)


# README ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, path", [("audio", "talk.mp3"), ("video", "clip.mp4"), ("pdf", "report.pdf")])
def test_the_examples_of_the_readme(name, path, tmp_path, monkeypatch, capsys):
    with LocalServer(processing_polls=1) as server:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("GEMINI_API_KEY", "local-key")
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        (tmp_path / path).write_bytes(CONTENT)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between two looks at the video
        exec(compile(readme.code(name), f"README.rst: {name}", "exec"), {})
        printed = capsys.readouterr().out
        assert str(len(CONTENT)) in printed and sha256(CONTENT)[:8] in printed
