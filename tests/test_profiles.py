"""Each system of the README through the public API: its URL, credentials, both framings, errors and files.

The endpoints are written out here as a user writes them.  The examples of
README.rst run as they stand, with their own host names, through a proxy that
leads these to LocalServer.
"""

import hashlib
import sys
import threading
import types

import pytest
from support import readme
from support.proxies import Certificates, Proxy

from geministream import (
    AuthenticationError,
    BadRequestError,
    BlockedError,
    Chat,
    Endpoint,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    Retry,
    ServerError,
    collect,
    delete_file,
    generate_many,
    get_file,
    list_files,
    stream_generate,
    upload_file,
    wait_for_file,
)
from geministream.testing import Answer, LocalServer

MODEL = "gemini-flash-latest"
KEY = "secret-key-of-this-test"
PROMPT = 'Ein Satz mit Umlauten äöü, \u2028 and {braces} "quoted" 😀, in several chunks'
QUICK = {"retry": Retry(initial_delay=0.005, max_delay=0.1), "timeout": 20}


def google(url, key=KEY):
    return Endpoint(url, api_key=key, **QUICK)


def google_query(url, key=KEY):
    return Endpoint(url, api_key=key, auth="query", **QUICK)


def chainhub(url, key=KEY):
    return Endpoint(url, api_key=key, auth=("query", "bearer"), **QUICK)


def gateway(url, key=KEY):
    return Endpoint(url, api_key=key, **QUICK)


def gateway_query(url, key=KEY):
    return Endpoint(url, api_key=key, auth="query", **QUICK)


def bifrost(url, key=None):
    if key is not None:
        return bifrost_key(url, key)
    return Endpoint(f"{url}/genai", auth=(), upload_protocol="multipart", **QUICK)


def bifrost_key(url, key=KEY):
    return Endpoint(f"{url}/genai", api_key=key, upload_protocol="multipart", **QUICK)


def bifrost_bearer(url, key=KEY):
    return Endpoint(f"{url}/genai", api_key=key, auth="bearer", upload_protocol="multipart", **QUICK)


def vertex(url, key=KEY):
    return Endpoint.vertex("my-project", "europe-west4", key, base_url=url, **QUICK)


def vertex_callable(url, key=KEY):
    return Endpoint.vertex("my-project", "europe-west4", lambda: key, base_url=url, **QUICK)


SYSTEMS = [
    google,
    google_query,
    chainhub,
    gateway,
    gateway_query,
    bifrost,
    bifrost_key,
    bifrost_bearer,
    vertex,
    vertex_callable,
]
WITH_FILES = [google, google_query, gateway, bifrost, bifrost_key]


def name_of(system):
    return system.__name__


@pytest.fixture(params=SYSTEMS, ids=name_of)
def system(request):
    """A server of that system, and the function that makes an endpoint for it."""
    with LocalServer(profile=request.param.__name__.partition("_")[0], api_key=KEY) as server:
        yield server, request.param


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_a_stream(system, alt):
    server, endpoint = system
    chunks = list(stream_generate(MODEL, PROMPT, endpoint=endpoint(server.url), alt=alt))
    assert "".join(chunk.text for chunk in chunks) == f"You said: {PROMPT}"
    assert len(chunks) > 2 and chunks[-1].finish_reason == "STOP"
    assert chunks[-1].usage_metadata.total_token_count > 10
    (recorded,) = server.requests
    assert recorded.query.get("alt") == ("sse" if alt == "sse" else None)
    assert recorded.path.endswith(f"/models/{MODEL}:streamGenerateContent")


# Where the credential stands, and where it does not.
PLACES = {
    google: {"x-goog-api-key"},
    google_query: {"?key"},
    chainhub: {"?key", "authorization"},
    gateway: {"x-goog-api-key"},
    gateway_query: {"?key"},
    bifrost: set(),
    bifrost_key: {"x-goog-api-key"},
    bifrost_bearer: {"authorization"},
    vertex: {"authorization"},
    vertex_callable: {"authorization"},
}


def test_the_credential_is_where_the_system_wants_it_and_nowhere_else(system):
    server, endpoint = system
    collect(stream_generate(MODEL, "x", endpoint=endpoint(server.url)))
    (recorded,) = server.requests
    places = {name.lower() for name, value in recorded.headers.items() if KEY in value}
    places |= {f"?{name}" for name, value in recorded.query.items() if KEY in value}
    assert places == PLACES[endpoint]
    assert KEY.encode() not in recorded.body


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_a_wrong_key(system, alt):
    server, endpoint = system
    with pytest.raises(AuthenticationError) as caught:
        collect(stream_generate(MODEL, "x", endpoint=endpoint(server.url, "another-key"), alt=alt))
    assert caught.value.code == (400 if server.profile.name == "google" else 401)
    assert caught.value.message and "another-key" not in str(caught.value)
    # A callable token has a second try, everything else has none.
    assert server.request_count == (2 if endpoint is vertex_callable else 1)


@pytest.mark.parametrize("auth", ["query", "bearer", "header"])
def test_chainhub_wants_both(auth):
    with LocalServer(profile="chainhub", api_key=KEY) as server:
        with pytest.raises(AuthenticationError):
            collect(stream_generate(MODEL, "x", endpoint=Endpoint(server.url, api_key=KEY, auth=auth)))


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_errors(system, alt):
    server, endpoint = system
    endpoint = endpoint(server.url)

    def ask(model=MODEL, **fields):
        return collect(stream_generate(model, "x", endpoint=endpoint, alt=alt, **fields))

    with pytest.raises(NotFoundError) as caught:
        ask("no-such-model")
    assert caught.value.status == "NOT_FOUND" and "no-such-model" in caught.value.message
    with pytest.raises(BadRequestError) as caught:
        ask(generation_config={"temperature": 7})
    assert [field for field, _ in caught.value.field_violations] == ["generation_config.temperature"]
    before = server.request_count
    server.queue(*[Answer.failure(429, "slowly", retry_info="0.005s")] * 4)
    with pytest.raises(RateLimitError) as caught:
        ask()
    assert caught.value.retry_after == 0.005 and server.request_count == before + 4
    server.queue(Answer.failure(503))
    assert ask().text == "You said: x"


@pytest.mark.parametrize(
    "alt, form", [("sse", "data"), ("sse", "event"), ("sse", "raw"), ("json", "element")]
)
def test_an_error_inside_the_stream(system, alt, form):
    server, endpoint = system
    server.queue(Answer(chunks=["half "], stream_error=(500, None, "it broke"), error_form=form))
    with pytest.raises(ServerError, match="it broke") as caught:
        collect(stream_generate(MODEL, "x", endpoint=endpoint(server.url), alt=alt))
    assert caught.value.partial.text == "half "


@pytest.mark.parametrize("alt", ["sse", "json"])
def test_a_blocked_prompt(system, alt):
    server, endpoint = system
    server.queue(Answer.blocked("PROHIBITED_CONTENT"))
    response = collect(stream_generate(MODEL, "x", endpoint=endpoint(server.url), alt=alt))
    with pytest.raises(BlockedError) as caught:
        response.raise_for_block()
    assert caught.value.reason == "PROHIBITED_CONTENT"


@pytest.mark.parametrize(
    "given, sent",
    [
        ("gemini-flash-latest", "models/gemini-flash-latest"),
        ("models/gemini-flash-latest", "models/gemini-flash-latest"),
        ("openai/gpt-4o", "models/openai/gpt-4o"),
        ("tunedModels/my-tune", "tunedModels/my-tune"),
    ],
)
def test_names_of_models(system, given, sent):
    server, endpoint = system
    if sent.startswith("tunedModels") and server.profile.long_paths:
        with pytest.raises(NotFoundError):  # a tuned model is an endpoint of its own there
            collect(stream_generate(given, "x", endpoint=endpoint(server.url)))
        return
    if "/gpt" in sent and not server.profile.any_model:
        with pytest.raises(NotFoundError):  # only gateways have such names
            collect(stream_generate(given, "x", endpoint=endpoint(server.url)))
        return
    assert collect(stream_generate(given, "x", endpoint=endpoint(server.url))).text == "You said: x"
    assert server.requests[0].path.endswith(f"/{sent}:streamGenerateContent")


def test_a_conversation_that_calls_a_function(system):
    server, endpoint = system

    def weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    chat = Chat(MODEL, endpoint=endpoint(server.url), tools=[weather])
    text = "".join(chunk.text for chunk in chat.send('weather({"city": "Rome"})'))
    assert "sunny in Rome" in text and server.request_count == 2
    assert "".join(chunk.text for chunk in chat.send("thanks")).endswith("You said: thanks")


def test_many_prompts(system):
    server, endpoint = system
    server.faults = [None, Answer.failure(429, retry_after=0.03), None, Answer.failure(503)]
    results = sorted(
        generate_many(
            [f"prompt {k}" for k in range(20)], model=MODEL, endpoint=endpoint(server.url), max_workers=4
        ),
        key=lambda result: result.index,
    )
    assert [result.text for result in results] == [f"You said: prompt {k}" for k in range(20)]
    assert sum(result.attempts for result in results) == 22


@pytest.mark.parametrize("endpoint", WITH_FILES, ids=name_of)
def test_files(endpoint, tmp_path):
    path = tmp_path / "Präsentation.txt"
    path.write_bytes(b"0123456789" * 60_000)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with LocalServer(profile=endpoint.__name__.partition("_")[0], api_key=KEY) as server:
        endpoint = endpoint(server.url)
        file = wait_for_file(upload_file(path, chunk_bytes=2**18, endpoint=endpoint), endpoint=endpoint)
        assert file.size_bytes == 600_000 and file.mime_type == "text/plain"
        assert file.display_name == "Präsentation.txt"
        assert server.files[file.name].sha256 == digest
        for alt in ("sse", "json"):
            answer = collect(stream_generate(MODEL, ["What is it?", file], endpoint=endpoint, alt=alt))
            assert "600000 bytes" in answer.text and digest in answer.text
        assert [each.name for each in list_files(endpoint=endpoint)] == [file.name]
        assert get_file(file.name, endpoint=endpoint).uri == file.uri
        delete_file(file.name, endpoint=endpoint)
        with pytest.raises(PermissionDeniedError):  # that is how Google says that there is none
            get_file(file.name, endpoint=endpoint)
        assert server.files == {}


def test_a_system_without_files():
    with LocalServer(profile="chainhub", api_key=KEY) as server:
        with pytest.raises(NotFoundError):
            upload_file(b"x", mime_type="text/plain", endpoint=chainhub(server.url))


@pytest.mark.parametrize(
    "endpoint, url",
    [
        (Endpoint(), "https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent"),
        (
            Endpoint("https://api.chainhub.tech"),
            "https://api.chainhub.tech/v1beta/models/m:streamGenerateContent",
        ),
        (
            Endpoint("http://localhost:8080/genai"),
            "http://localhost:8080/genai/v1beta/models/m:streamGenerateContent",
        ),
        (
            Endpoint.vertex("p", "europe-west4", "t"),
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/publishers/google/models/m"
            ":streamGenerateContent",
        ),
        (
            Endpoint.vertex("p", "global", "t"),
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/m"
            ":streamGenerateContent",
        ),
    ],
)
def test_the_urls_of_the_real_systems(endpoint, url):
    assert endpoint.model_url("m", "streamGenerateContent") == url
    assert endpoint.model_url("models/m", "streamGenerateContent", {"alt": "sse"}) == f"{url}?alt=sse"


# README.rst -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(
        tmp_path_factory.mktemp("certificates"),
        [
            "generativelanguage.googleapis.com",
            "api.chainhub.tech",
            "gateway.example.com",
            "europe-west4-aiplatform.googleapis.com",
            "gemini.company.example",
        ],
    )


@pytest.fixture
def lead(certificates, monkeypatch):
    """Let a host's name and port lead to a server of ours, by way of a proxy in the environment."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.authority)
    proxies = []

    def lead(netloc, server):
        proxy = Proxy({netloc: server.port})
        proxy.__enter__()
        proxies.append(proxy)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("https_proxy", proxy.url)
        return proxy

    yield lead
    for proxy in proxies:
        proxy.__exit__(None, None, None)


@pytest.mark.parametrize(
    "name, profile, netloc",
    [
        ("endpoint-google", "google", "generativelanguage.googleapis.com:443"),
        ("endpoint-chainhub", "chainhub", "api.chainhub.tech:443"),
        ("endpoint-gateway", "gateway", "gateway.example.com:443"),
    ],
)
def test_the_readmes_example(lead, certificates, capsys, name, profile, netloc):
    with LocalServer(profile=profile, api_key="YOUR-KEY", tls=certificates.context()) as server:
        lead(netloc, server)
        exec(readme.code(name), {})
        assert capsys.readouterr().out == "You said: Hello"
        assert server.request_count == 1


def test_the_readmes_example_for_bifrost(lead, capsys):
    with LocalServer(profile="bifrost", api_key=KEY) as server:
        lead("localhost:8080", server)
        exec(readme.code("endpoint-bifrost"), {})
        out = capsys.readouterr().out
        assert "What is to be done?" in out and "text/plain, 9 bytes" in out
        assert "notes.txt" in [file.display_name for file in server.files.values()]


def test_the_readmes_example_for_vertex(lead, certificates, capsys, monkeypatch):
    """With a google.auth of ours; tests/interop has the real one."""

    class Credentials:
        valid = False
        token = None

        def refresh(self, request):
            self.token, self.valid = "fresh-token", True

    made = Credentials()
    scopes = []
    package = types.ModuleType("google")
    package.__path__ = []
    auth = types.ModuleType("google.auth")
    auth.default = lambda scopes: scopes_seen(scopes) or (made, "my-project")
    scopes_seen = scopes.extend
    transport = types.ModuleType("google.auth.transport")
    requests_room = types.ModuleType("google.auth.transport.requests")
    requests_room.Request = object
    package.auth, auth.transport, transport.requests = auth, transport, requests_room
    for module in (package, auth, transport, requests_room):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    with LocalServer(profile="vertex", api_key="fresh-token", tls=certificates.context()) as server:
        lead("europe-west4-aiplatform.googleapis.com:443", server)
        exec(readme.code("endpoint-vertex"), {})
        assert capsys.readouterr().out == "You said: Hello"
        assert "/projects/my-project/locations/europe-west4/" in server.requests[0].path
    assert scopes == ["https://www.googleapis.com/auth/cloud-platform"]


def test_the_readmes_example_with_a_session(lead, certificates, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    for source, name in zip(
        [certificates.authority, *certificates.client], ["company-ca.pem", "client.pem", "client.key"]
    ):
        with open(source, "rb") as file:
            (tmp_path / name).write_bytes(file.read())
    with LocalServer(api_key="YOUR-KEY", tls=certificates.context(want_client=True)) as server:
        proxy = lead("gemini.company.example:443", server)
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.delenv(name)
        code = readme.code("endpoint-session")
        assert '"http://proxy.example.com:3128"' in code
        exec(code.replace("http://proxy.example.com:3128", proxy.url), {})
        assert capsys.readouterr().out == "You said: Hello"
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("name", ["batch", "batch-threads"])
def test_the_readmes_example_of_many_prompts(name, monkeypatch, capsys):
    with LocalServer(api_key="YOUR-KEY") as server:
        monkeypatch.setenv("GEMINI_API_KEY", "YOUR-KEY")
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        code = readme.code(name)
        assert "range(1000)" in code
        exec(code.replace("range(1000)", "range(50)"), {})
        lines = capsys.readouterr().out.splitlines()
        assert sorted(lines) == sorted(f"{n} You said: Write a haiku about the number {n}" for n in range(50))


def test_the_readmes_example_on_mpi_with_an_executor_of_the_same_kind(monkeypatch, capsys):
    """mpi4py needs an MPI; its executor is one of concurrent.futures like any other."""
    from concurrent.futures import ThreadPoolExecutor

    package = types.ModuleType("mpi4py")
    package.__path__ = []
    package.futures = types.ModuleType("mpi4py.futures")
    package.futures.MPIPoolExecutor = ThreadPoolExecutor
    monkeypatch.setitem(sys.modules, "mpi4py", package)
    monkeypatch.setitem(sys.modules, "mpi4py.futures", package.futures)
    with LocalServer(api_key="YOUR-KEY") as server:
        monkeypatch.setenv("GEMINI_API_KEY", "YOUR-KEY")
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        code = readme.code("batch-threads").replace("range(1000)", "range(20)").replace("\nhaikus()\n", "\n")
        exec(code + readme.code("batch-mpi"), {"__name__": "__main__"})
        assert len(capsys.readouterr().out.splitlines()) == 20
        assert threading.active_count() < 30
