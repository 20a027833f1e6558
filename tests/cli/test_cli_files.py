"""The command line: ``files``, and files that ``stream`` uploads by itself."""

import base64
import hashlib
import json
import re
import signal

import pytest
from support.program import KEY, TIMEOUT, needs_posix, needs_pty, on_terminal, started

from geministream.cli.progress import ProgressLine, Rate, duration, size
from geministream.testing import LocalServer


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "the film.mp4"
    path.write_bytes(bytes(range(256)) * 4096)  # 1 MiB
    return path


def test_upload_list_get_delete(here, server, film, tmp_path):
    notes = tmp_path / "Notes"  # its name does not tell what it is
    notes.write_text("\u00e9")
    result = here("files", "upload", film, notes, server=server)
    assert (result.status, result.err) == (0, "")
    lines = [re.split("  +", line) for line in result.out.splitlines()]
    names = [line[0] for line in lines]
    assert [line[1:] for line in lines] == [
        ["ACTIVE", "video/mp4", "1.0 MB", "in 47 h", "the film.mp4"],
        ["ACTIVE", "text/plain", "2 B", "in 47 h", "Notes"],
    ]
    assert sorted(names) == sorted(server.files)

    header, *listing = here("files", "list", server=server).out.splitlines()
    assert header.split(None, 5) == ["NAME", "STATE", "TYPE", "SIZE", "EXPIRES", "DISPLAY NAME"]
    assert sorted(listing) == sorted(result.out.splitlines())
    listed = [json.loads(line) for line in here("files", "list", "--json", server=server).out.splitlines()]
    assert sorted(file["name"] for file in listed) == sorted(names)
    got = json.loads(here("files", "get", names[0], server=server).out)
    digest = base64.b64decode(got["sha256Hash"]).decode()
    assert digest == hashlib.sha256(film.read_bytes()).hexdigest()

    result = here("files", "delete", "files/nope", names[0], server=server)
    assert (result.status, result.out) == (1, "")  # and the other one is deleted
    assert "files/nope" in result.notes[0]
    assert list(server.files) == names[1:]


def test_every_path_is_looked_at_before_anything_is_sent(here, server, film, tmp_path):
    result = here("files", "upload", film, tmp_path / "gone.mp4", server=server)
    assert (result.status, server.requests) == (2, [])
    assert "gone.mp4" in result.notes[0]


def test_upload_waits_only_when_asked(here, film, sleeps):
    with LocalServer(api_key=KEY, processing_polls=1) as server:
        assert "PROCESSING" in here("files", "upload", film, server=server).out
        server.fail_processing("no frames in it")
        result = here("files", "upload", film, "--wait", "--timeout", "5", server=server)
    assert result.status == 1 and "no frames in it" in result.notes[0]


def test_upload_as_a_form(here, film):
    with LocalServer(profile="bifrost", api_key=KEY) as server:
        env = {"GOOGLE_GEMINI_BASE_URL": server.url + "/genai"}
        result = here("files", "upload", film, "--upload-protocol", "multipart", env=env)
        (file,) = server.files.values()
    assert result.status == 0 and file.size == 2**20


def test_stream_uploads_when_asked(here, server, film):
    result = here("stream", "--upload", "-f", film, "What happens?", server=server)
    (name,) = server.files
    assert result.status == 0
    assert f"video/mp4, {2**20} bytes, SHA-256 {hashlib.sha256(film.read_bytes()).hexdigest()}" in result.out
    assert result.notes == [f"uploaded {film} as {name}, which -f also accepts for 48 hours"]
    again = here("stream", "-f", name, "What happens?", server=server)
    assert (again.status, again.out, again.err) == (0, result.out, "")


def test_stream_uploads_what_has_no_room_in_the_request(here, server, film, tmp_path, monkeypatch):
    small = tmp_path / "small.png"
    small.write_bytes(b"P" * 1000)
    monkeypatch.setattr("geministream.cli.prompt.LARGEST_INLINE", 2**20 + 500)
    result = here("stream", "-f", film, "-f", small, "-f", small, "What?", server=server)
    assert result.status == 0
    (request,) = [request for request in server.requests if request.verb]
    kinds = [next(iter(part)) for part in request.json["contents"][0]["parts"]]
    assert kinds == ["inlineData", "fileData", "fileData", "text"]
    monkeypatch.setattr("geministream.cli.prompt.LARGEST_INLINE", 2**20 - 1)
    result = here("stream", "-f", film, "What?", server=server)
    assert f"uploaded {film}" in result.notes[0]


def test_stream_waits_for_what_it_uploads(here, film, sleeps):
    with LocalServer(api_key=KEY, processing_polls=1) as server:
        result = here("stream", "--upload", "-f", film, "What?", server=server)
    assert (result.status, len(result.notes), len(sleeps)) == (0, 1, 1)


def test_no_such_file_on_the_server(here, server):
    result = here("stream", "-f", "files/nope", "What?", server=server)
    assert (result.status, result.out) == (1, "")
    assert "nope" in result.notes[0]


@needs_posix
def test_ctrl_c_ends_an_upload(server, film):
    server.fail_upload("stall", piece=0)
    with started("files", "upload", film, server=server) as process:
        server.wait_for_request(2, TIMEOUT)
        process.send_signal(signal.SIGINT)
        assert (process.wait(TIMEOUT), process.stdout.read(), process.stderr.read()) == (130, b"", b"")


@needs_pty
def test_the_bar_is_for_a_person(server, film):
    with on_terminal("files", "upload", film, server=server) as (process, read):
        text = read()
    assert "\r[####################] 100%  1.0 MB of 1.0 MB  " in text
    assert "MB/s  0:00 left  the film" in text  # of 80 columns
    (name,) = server.files
    assert text.split("\r")[-1].startswith(f"{name} ") and text.endswith("the film.mp4\n")


@needs_pty
def test_a_name_does_not_steer_the_terminal(server, film):
    bad = film.with_name("a\x1b]0;b.mp4")
    film.rename(bad)
    with on_terminal("files", "upload", bad, server=server) as (process, read):
        assert "\x1b" not in read()


def test_progress_line_is_nothing_without_a_terminal(capsys):
    line = ProgressLine()
    line.show("here", now=True)
    line.clear()
    assert capsys.readouterr() == ("", "")


def test_rate(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("geministream.cli.progress.time.monotonic", lambda: now[0])
    rate = Rate()
    assert (rate.per_second, rate.time_left(10)) == (0.0, "")
    for second in range(1, 101):  # 10 a second, and 1 a second in the last minute
        now[0] += 1
        rate.reached(10 * min(second, 40) + max(second - 40, 0))
    assert rate.seconds == 100
    assert 0.9 < rate.per_second < 1.2
    assert rate.time_left(60 * rate.per_second) == "1:00 left"
    rate.reached(0)  # an upload that starts over
    assert rate.per_second == 0


def test_sizes_and_durations():
    assert [size(count) for count in (0, 999, 1500, 999_960, 2**30, 5e13)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "1.0 MB",
        "1.1 GB",
        "50000.0 GB",
    ]
    assert [duration(seconds) for seconds in (0, 8.4, 59.6, 754, 3723)] == [
        "0:00",
        "0:08",
        "1:00",
        "12:34",
        "1:02:03",
    ]
