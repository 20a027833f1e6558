"""Uploads to servers with manners of their own, played answer by answer."""

import pickle
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.raw_server import RawServer
from support.uploads import (
    CONTENT,
    MIB,
    STEP,
    Once,
    Talk,
    active,
    begun,
    failure,
    final,
    raw_endpoint,
    received,
    reply,
    sha256,
    stored,
)

from geministream import (
    APIError,
    BadRequestError,
    FileProcessingError,
    PermissionDeniedError,
    ServerError,
    StreamDecodeError,
    TransportError,
    get_file,
    upload_file,
)
from geministream.testing import LocalServer


def test_the_granularity_that_the_server_names():
    talk = Talk(begun(x_goog_upload_chunk_granularity=1000), active(), active(), final())
    assert talk.upload(bytes(5000), chunk_bytes=2999).name == "files/x"
    assert [len(request[3]) for request in talk.requests[1:]] == [2000, 2000, 1000]
    talk = Talk(begun(x_goog_upload_chunk_granularity=4000), active(), final())
    talk.upload(bytes(5000), chunk_bytes=1)
    assert [len(request[3]) for request in talk.requests[1:]] == [4000, 1000]


@pytest.mark.parametrize("told", ["0", "-5", "many", ""])
def test_a_granularity_that_is_none(told):
    talk = Talk(begun(x_goog_upload_chunk_granularity=told), active(), final())
    talk.upload(bytes(STEP + 1), chunk_bytes=1)
    assert [len(request[3]) for request in talk.requests[1:]] == [STEP, 1]


@pytest.mark.parametrize("granularity", [64 * MIB + 1, 9999999999, 2**63])
def test_a_granularity_that_has_no_room_in_memory(granularity):
    talk = Talk(begun(x_goog_upload_chunk_granularity=granularity))
    with pytest.raises(StreamDecodeError, match=f"pieces of {granularity} bytes.*chunk_bytes="):
        talk.upload(bytes(5))
    talk = Talk(begun(x_goog_upload_chunk_granularity=granularity), final())
    assert talk.upload(bytes(5), chunk_bytes=granularity).name == "files/x"


@pytest.mark.parametrize(
    "url, prefix, target",
    [
        (
            "https://upstream.invalid/upload/v1beta/files?upload_id=a%2Fb&x=1",
            "",
            "/upload/v1beta/files?upload_id=a%2Fb&x=1",
        ),
        (
            "https://upstream.invalid/upload/v1beta/files?upload_id=1",
            "/g/e",
            "/g/e/upload/v1beta/files?upload_id=1",
        ),
        (
            "https://upstream.invalid/g/e/upload/v1beta/files?upload_id=1",
            "/g/e",
            "/g/e/upload/v1beta/files?upload_id=1",
        ),
        ("/g/e/resumable/77", "/g/e", "/g/e/resumable/77"),
        ("/resumable/77", "/g/e", "/resumable/77"),
        ("https://user:pw@upstream.invalid:1/u#f", "", "/u"),
    ],
)
def test_the_upload_stays_on_its_own_origin(url, prefix, target):
    talk = Talk(begun(url), final())
    talk.upload(b"x", prefix)
    assert talk.requests[0][2] == prefix + "/upload/v1beta/files"
    assert talk.requests[1][2] == target


@pytest.mark.parametrize(
    "url",
    [
        "x:@{evil}/steal",
        "x:.evil.example/steal",
        "x::{port}/p",
        "mailto:a@{evil}",
        "x:\\@{evil}/steal",
        "data:,@{evil}",
        "//{evil}/steal",
        "http:@{evil}/steal",
        "http://@{evil}/steal",
        "https://{evil}",
        "http://{evil}//{evil}/x",
        "http:///@{evil}/steal",
        "/\\{evil}/steal",
        "@{evil}/steal",
        "?@{evil}/steal",
        "http://x\\@{evil}/steal",
    ],
)
@pytest.mark.parametrize("prefix", ["", "/g/e"])
def test_no_upload_url_leads_to_another_server(url, prefix):
    """Whatever the server names, the key and the file stay with the server of the base URL."""
    with RawServer(lambda connection: connection.read_request()) as evil:
        talk = Talk(begun(url.format(evil=evil.netloc, port=evil.port)), final())
        try:
            talk.upload(b"x", prefix, fields=dict(retry=None, timeout=2))
        except StreamDecodeError as error:
            assert "upload URL" in str(error) and len(talk.requests) == 1
        else:
            assert talk.requests[1][3] == b"x"
        assert evil.connections == 0


def test_local_server_names_another_host():
    with LocalServer(upload_host="https://upstream.invalid") as server:
        upload_file(CONTENT, mime_type="audio/mpeg", endpoint=server.endpoint)
        assert stored(server).sha256 == sha256(CONTENT)


def test_an_upload_url_that_cannot_be_read():
    with pytest.raises(StreamDecodeError, match="upload URL is not a valid URL"):
        Talk(begun("http://[::1/")).upload(b"x")


def test_the_key_and_the_parameters_are_sent_once():
    """Google copies the query of the start into the upload URL, key and all."""
    copied = "https://upstream.invalid/upload/v1beta/files?key=secret-key&tenant=t%201&upload_id=secret-key-7"
    talk = Talk(begun(copied), final())
    talk.upload(b"x", fields=dict(auth="query", params={"tenant": "t 1"}))
    query = parse_qsl(urlsplit(talk.requests[1][2]).query)
    assert sorted(query) == [("key", "secret-key"), ("tenant", "t 1"), ("upload_id", "secret-key-7")]


def test_a_server_that_knows_no_resumable_upload():
    with pytest.raises(StreamDecodeError, match="upload_protocol='multipart'"):
        Talk(reply({"file": {}})).upload(b"x")


def test_a_server_that_takes_one_piece_only():
    """It calls the upload final after the first piece of several."""
    talk = Talk(begun(), final())
    with pytest.raises(FileProcessingError, match="larger chunk_bytes=") as caught:
        talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert caught.value.file.name == "files/x"


@pytest.mark.parametrize("data", [bytes(2 * STEP), Once(bytes(2 * STEP))])
def test_a_server_that_takes_one_piece_only_and_loses_the_answer(data):
    talk = Talk(begun(), failure(503), final())
    with pytest.raises(FileProcessingError, match="larger chunk_bytes="):
        talk.upload(data, chunk_bytes=STEP)


def test_a_server_that_has_other_than_all_bytes():
    talk = Talk(begun(), final(sizeBytes="2"))
    with pytest.raises(FileProcessingError, match="2 bytes of 3; delete files/x"):
        talk.upload(b"abc")
    assert Talk(begun(), final(sizeBytes="3")).upload(b"abc").size_bytes == 3
    assert Talk(begun(), final(sizeBytes="0")).upload(b"abc").size_bytes == 0  # it does not tell


def test_a_form_that_arrived_in_part():
    with RawServer(Talk(reply({"file": {"name": "files/x", "sizeBytes": "2"}}))) as server:
        with pytest.raises(FileProcessingError, match="2 bytes of 3"):
            upload_file(b"abc", mime_type="a/b", endpoint=raw_endpoint(server, upload_protocol="multipart"))


def test_a_file_that_is_not_wrapped():
    with RawServer(Talk(reply({"name": "files/x"}))) as server:
        endpoint = raw_endpoint(server, upload_protocol="multipart")
        assert upload_file(b"abc", mime_type="a/b", endpoint=endpoint).name == "files/x"


@pytest.mark.parametrize("code", [400, 412, 416])
def test_an_offset_that_the_server_does_not_expect(code):
    """It has more than was thought: the bytes of a request that was given up came after all."""
    talk = Talk(begun(), active(), failure(code), received(STEP + 5), final())
    talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert talk.commands == ["start", "upload", "upload, finalize", "query", "upload, finalize"]
    assert talk.requests[-1][1] == str(STEP + 5)


@pytest.mark.parametrize("code", [400, 412, 416])
def test_a_piece_that_is_refused_for_what_it_is(code):
    talk = Talk(begun(), active(), failure(code), received(STEP))
    with pytest.raises(Exception, match=f"no {code}"):
        talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert talk.commands[-1] == "query"
    talk = Talk(begun(), failure(code, x_goog_upload_status="final"))
    with pytest.raises(Exception, match=f"no {code}"):
        talk.upload(b"x")


def test_an_offset_that_never_fits_is_bounded():
    answers = [begun(), active()]
    for k in range(9):
        answers += [failure(400), received(k)]
    talk = Talk(*answers)
    with pytest.raises(BadRequestError):
        talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert talk.commands == ["start", "upload", "upload, finalize", "query", "upload"]


def test_an_upload_that_is_over_is_not_tried_again():
    talk = Talk(begun(), failure(503, x_goog_upload_status="final"))
    with pytest.raises(ServerError):
        talk.upload(b"x")
    assert talk.commands == ["start", "upload, finalize"]


@pytest.mark.parametrize("code", [401, 403, 409, 413])
def test_other_errors_are_final(code):
    talk = Talk(begun(), failure(code))
    with pytest.raises(Exception, match=f"no {code}"):
        talk.upload(b"x")


def test_a_server_that_took_a_part_of_a_piece():
    talk = Talk(begun(), received(1000), received(1000 + STEP), final())
    talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert [request[1] for request in talk.requests] == [None, "0", "1000", str(1000 + STEP)]


def test_a_server_that_forgets_what_it_had():
    talk = Talk(begun(), active(), failure(503), received(7), active(), final())
    talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert [request[1] for request in talk.requests] == [None, "0", str(STEP), None, "7", str(STEP + 7)]
    talk = Talk(begun(), active(), failure(503), received(7))
    with pytest.raises(TransportError, match="cannot be read again"):
        talk.upload(Once(bytes(2 * STEP)), chunk_bytes=STEP)


@pytest.mark.parametrize("count", [str(STEP + 1), "-1", "many", "", 2**63, "9" * 5000, "0x10", "\xb2", "5,5"])
@pytest.mark.parametrize("asked", [True, False])
def test_a_server_that_says_nonsense_about_what_it_has(count, asked):
    """When it is asked, or with a piece; there, it may also say nothing."""
    talk = Talk(begun(), *([failure(503)] if asked else []), received(count), final())
    if count == "" and not asked:
        assert talk.upload(bytes(STEP + 1), chunk_bytes=STEP).name == "files/x"
        return
    with pytest.raises(StreamDecodeError, match="which is impossible"):
        talk.upload(bytes(STEP + 1), chunk_bytes=STEP)
    assert talk.commands[-1] == ("query" if asked else "upload")


def test_a_server_that_never_finishes():
    talk = Talk(begun(), *[answer for _ in range(9) for answer in (active(), received(3))])
    with pytest.raises(TransportError, match="did not finish"):
        talk.upload(b"abc")
    assert talk.commands == ["start", "upload, finalize"] + ["query", "finalize"] * 4


def test_a_server_that_takes_nothing():
    talk = Talk(begun(), *[received(0) for _ in range(20)])
    with pytest.raises(TransportError, match="did not accept any byte"):
        talk.upload(bytes(2 * STEP), chunk_bytes=STEP)
    assert len(talk.requests) < 10


def test_a_server_that_cancelled_the_upload():
    with pytest.raises(StreamDecodeError, match="cancelled"):
        Talk(begun(), reply({}, x_goog_upload_status="cancelled")).upload(b"x")


def test_a_proxy_that_takes_the_status_away():
    talk = Talk(begun(), reply(), reply({"file": {"name": "files/x"}}))
    assert talk.upload(bytes(2 * STEP), chunk_bytes=STEP).name == "files/x"


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{", b"\xff", b'{"file": 5}', b'{"file": {}}', b""])
def test_an_answer_that_is_not_a_file(answer):
    with pytest.raises(StreamDecodeError):
        Talk(begun(), reply(answer, x_goog_upload_status="final")).upload(b"x")
    with RawServer(Talk(reply(answer))) as server, pytest.raises(StreamDecodeError):
        get_file("x", endpoint=raw_endpoint(server))


def test_an_error_under_a_200():
    with RawServer(Talk(reply({"error": {"code": 403, "message": "not yours: secret-key"}}))) as server:
        with pytest.raises(PermissionDeniedError, match=r"not yours: \*\*\*"):
            get_file("x", endpoint=raw_endpoint(server))


def test_no_credential_comes_out():
    talk = Talk(begun(), failure(413), b"")
    with pytest.raises(APIError) as caught:
        talk.upload(b"x", fields=dict(auth=("query", "header", "bearer")))
    assert "secret-key" not in repr(caught.value) + str(caught.value.__dict__)
    pickle.loads(pickle.dumps(caught.value))
    assert talk.headers[1]["x-goog-api-key"] == "secret-key"
