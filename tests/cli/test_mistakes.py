"""The command line: each mistake is reported in one line, in the words that were typed."""

import socket
import threading

import pytest
from support import program
from support.program import run

from geministream.testing import LocalServer

here, server = program.here, program.server


def the_note(result, status):
    """The only line of stderr."""
    assert (result.status, result.out) == (status, "")
    (line,) = result.notes
    return line


@pytest.mark.parametrize(
    "args, line",
    [
        ("stream --retries -1 Hi", "--retries must be an integer >= 0, got -1"),
        ("stream --retries=x Hi", "--retries must be an integer >= 0, got x"),
        ("stream --timeout 0 Hi", "--timeout must be a number of seconds > 0, got 0"),
        ("stream --deadline soon Hi", "--deadline must be a number of seconds > 0, got soon"),
        ("stream --max-tokens 0 Hi", "--max-tokens must be an integer >= 1, got 0"),
        ("stream --temperature inf Hi", "--temperature must be a number, got inf"),
        (
            "stream --auth foo Hi",
            "--auth must be header, query, bearer, several of these joined by commas, or none; got foo",
        ),
        ("stream --alt xml Hi", "--alt must be sse or json, got xml"),
        ("batch p -o r --workers 0", "--workers must be an integer >= 1, got 0"),
        ("stream Hi --modle x", "unknown option --modle (did you mean --model?)"),
        ("chat --sytem=x", "unknown option --sytem (did you mean --system?)"),
        ("chat --colour", "unknown option --colour"),
        ("strem Hi", "unknown command strem (did you mean stream?)"),
    ],
)
def test_wrong_options(here, args, line):
    args = args.split()
    told = the_note(here(*args), 2)
    where = "geministream" if args[0] == "strem" else f"geministream {args[0]}"
    assert told == f"{line}; see {where} --help"


def test_an_action_that_is_mistyped(here):
    told = the_note(here("files", "uplaod", "x"), 2)
    assert told == "unknown command uplaod (did you mean upload?); see geministream files --help"
    assert "upload, list, get or delete" in the_note(here("files", "x"), 2)
    told = the_note(here("files", "list", "--jsno"), 2)
    assert told == "unknown option --jsno (did you mean --json?); see geministream files list --help"


def test_words_that_look_like_options_are_part_of_the_prompt(here, server):
    assert here("stream", "-5", "-m", "x", "degrees", "- that is", "-", server=server).status == 0
    assert server.requests[0].json["contents"][0]["parts"] == [{"text": "-5 degrees - that is -"}]


def test_a_key_in_the_wrong_option_is_not_shown(here):
    told = the_note(here("stream", "--auth", program.KEY[:20], "Hi"), 2)
    assert told.startswith("--auth must be ") and program.KEY[:20] not in told


def test_wrong_files(here, server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "prompts").write_bytes(b'"x"\n')
    for args, line in (
        (["stream", "-f", "."], "cannot attach .: . is a directory; name a file in it"),
        (
            ["stream", "-f", "gone.png"],
            "cannot attach gone.png: gone.png cannot be read: No such file or directory",
        ),
        (["stream", "-f", "empty.png"], "cannot attach empty.png: empty.png is empty"),
        (["batch", "prompts", "-o", "no/r"], "-o no/r: there is no directory no; create it first"),
        (
            ["batch", "gone", "-o", "r"],
            "gone cannot be read: No such file or directory; name a file of prompts, or - for standard input",
        ),
        (
            ["stream", "Hi", "--schema", "gone"],
            "--schema gone cannot be read: No such file or directory; name a file with a JSON schema",
        ),
        (
            ["stream", "Hi", "--save-media", "prompts"],
            "--save-media prompts: cannot create directory: File exists; name another",
        ),
    ):
        assert the_note(here(*args, server=server), 2) == line
    assert server.requests == []


def test_each_path_that_cannot_be_uploaded_is_reported(here, server, tmp_path):
    good = tmp_path / "good.png"
    good.write_bytes(b"PNG")
    result = here("files", "upload", tmp_path / "a", good, tmp_path, server=server)
    assert (result.status, result.out, server.requests) == (2, "", [])
    assert [line.partition(" ")[0] for line in result.notes] == [
        str(tmp_path / "a"),
        str(tmp_path),
        "nothing",
    ]


def test_each_upload_that_fails_is_reported(here, server, tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        path.write_bytes(path.name.encode())
    server.fail_upload(400, piece="start")
    result = here("files", "upload", *paths, server=server)
    assert result.status == 1 and [line.split()[-1] for line in result.out.splitlines()] == ["b.png", "c.png"]
    (line,) = result.notes
    assert line.startswith(f"{paths[0]}: ")


def test_wrong_urls(here):
    told = the_note(here("stream", "--base-url", "localhost:8000", "Hi"), 2)
    assert told == "--base-url must start with http:// or https:// and a host"
    told = the_note(here("stream", "Hi", env={"GOOGLE_GEMINI_BASE_URL": "localhost:8000"}), 2)
    assert told == "GOOGLE_GEMINI_BASE_URL must start with http:// or https:// and a host"
    told = the_note(here("stream", "--base-url", f"http://x/?key={program.KEY}", "Hi"), 2)
    assert told == "--base-url contains a query or fragment; leave it out"
    told = the_note(here("stream", "-m", "a model", "Hi"), 2)
    assert told.startswith("--model is not a valid name such as 'gemini-2.5-flash'")


# -- connections that fail ---------------------------------------------------------


@pytest.fixture
def closed_port():
    """A port of this machine at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_a_proxy_that_refuses(closed_port):
    proxy = f"http://127.0.0.1:{closed_port}"
    told = the_note(run("stream", "--retries", "0", "Hi", env={"https_proxy": proxy}), 1)
    assert told.startswith(f"cannot connect to the proxy 127.0.0.1:{closed_port} (https_proxy): ")
    assert told.endswith("Connection refused; check https_proxy, or unset it")


def test_a_server_that_refuses(closed_port):
    url = f"http://127.0.0.1:{closed_port}"
    told = the_note(run("stream", "--retries", "0", "Hi", "--base-url", url), 1)
    assert told.endswith("Connection refused; check --base-url, and that the server is running")
    told = the_note(run("stream", "--retries", "0", "Hi", env={"GOOGLE_GEMINI_BASE_URL": url}), 1)
    assert told.endswith("check GOOGLE_GEMINI_BASE_URL, and that the server is running")


def test_https_to_a_port_of_http():
    with LocalServer() as server:
        url = server.url.replace("http:", "https:")
        told = the_note(run("stream", "--retries", "0", "--base-url", url, "Hi"), 1)
    host = url[len("https://") :]
    assert told == f"{host} does not speak TLS; write http:// instead of https:// in --base-url"


def test_ca_bundles(tls, tmp_path):
    context, certificate = tls
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"

        def ask(**env):
            return the_note(run("stream", "--retries", "0", "--base-url", url, "Hi", env=env), 1)

        gone = tmp_path / "gone.pem"
        told = ask(REQUESTS_CA_BUNDLE=str(gone))
        how = "is not a file of CA certificates; name one in PEM format, or unset"
        assert told == f"REQUESTS_CA_BUNDLE={gone} {how} REQUESTS_CA_BUNDLE"

        def handshake():
            for _ in range(2):
                client = listener.accept()[0]
                try:
                    context.wrap_socket(client, server_side=True).close()
                except OSError:
                    client.close()

        thread = threading.Thread(target=handshake)
        thread.start()
        assert ask(CURL_CA_BUNDLE=str(bad)) == f"CURL_CA_BUNDLE={bad} {how} CURL_CA_BUNDLE"
        told = ask(REQUESTS_CA_BUNDLE=None, CURL_CA_BUNDLE=None)
        thread.join()
    assert "certificate verify failed" in told
    assert told.endswith("; set REQUESTS_CA_BUNDLE to the file of its CA's certificate")


# -- commands of a chat -------------------------------------------------------------


def test_commands_of_a_chat(here, server):
    assert (
        the_note(here("chat", server=server, stdin=b"/hlep\n"), 2)
        == "unknown command /hlep (did you mean /help?)"
    )
    assert the_note(here("chat", server=server, stdin=b"/xyz\n"), 2) == "unknown command /xyz; type /help"
