"""Sound and pictures in answers: joined, saved, shown."""

import wave

import pytest

from geministream import Blob, GenerateContentResponse, collect

L16 = "audio/L16;codec=pcm;rate=16000"


def chunk(*parts):
    return GenerateContentResponse.from_dict({"candidates": [{"content": {"parts": list(parts)}}]})


def sound(data, mime_type=L16, **more):
    return {"inlineData": {"mimeType": mime_type, "data": data}, **more}


def test_the_pieces_of_one_sound_become_one():
    response = collect([chunk(sound("AAAA")), chunk(sound("AQID")), chunk(sound("BAUG"))])
    (blob,) = response.media
    assert blob == Blob(mime_type=L16, data=bytes([0, 0, 0, 1, 2, 3, 4, 5, 6]))


def test_merging_again_and_again_shares_nothing():
    first = chunk(sound("AAAA"))
    collect([first, chunk(sound("AQID"))])
    assert first.media[0].data == b"\0\0\0"


@pytest.mark.parametrize(
    "between",
    [
        {"text": "and"},
        sound("AAAA", "audio/L16;codec=pcm;rate=24000"),
        sound("AAAA", thoughtSignature="s"),
        {"inlineData": {"mimeType": L16, "data": "AAAA", "displayName": "a"}},
    ],
)
def test_what_lies_between_keeps_sounds_apart(between):
    response = collect([chunk(sound("AQID")), chunk(between), chunk(sound("BAUG"))])
    assert [blob.data for blob in response.media][0] == bytes([1, 2, 3])
    assert [blob.data for blob in response.media][-1] == bytes([4, 5, 6])


@pytest.mark.parametrize("mime_type", ["image/png", "audio/mp3", "audio/wav"])
def test_files_with_a_header_are_not_joined(mime_type):
    response = collect([chunk(sound("AQID", mime_type)), chunk(sound("BAUG", mime_type))])
    assert len(response.media) == 2


def test_data_that_is_not_base64_is_kept_unchanged():
    response = collect([chunk(sound("?!")), chunk(sound("BAUG"))])
    assert [part.to_dict() for part in response.parts] == [sound("?!"), sound("BAUG")]


@pytest.mark.parametrize(
    "mime_type, rate, channels",
    [
        (L16, 16000, 1),
        ("audio/pcm", 24000, 1),
        ("audio/L16; rate=48000; channels=2", 48000, 2),
        ("Audio/PCM;Rate=8000", 8000, 1),
        ('audio/L16;rate="11025"', 11025, 1),
        ("audio/L16;rate=0;channels=0", 24000, 1),
    ],
)
def test_samples_become_a_real_wav(tmp_path, mime_type, rate, channels):
    path = Blob(mime_type=mime_type, data=bytes(range(200))).save(tmp_path / "a.wav")
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (rate, channels, 2)
        assert file.readframes(1000) == bytes(range(200))


@pytest.mark.parametrize("name, mime_type", [("a.pcm", L16), ("a.wav", "audio/wav"), ("a.png", "image/png")])
def test_everything_else_is_saved_as_it_is(tmp_path, name, mime_type):
    assert Blob(mime_type=mime_type, data=b"12").save(tmp_path / name).read_bytes() == b"12"


def test_a_notebook_shows_text_and_images():
    response = chunk({"text": "A *dog*"}, sound("iVBO", "image/png"), sound("AAAA"))
    assert response._repr_markdown_() == "A *dog*\n\n![image](data:image/png;base64,iVBO)"
    png, other = response.media
    assert png._repr_png_() == b"\x89PN"
    assert png._repr_jpeg_() is None
    assert other._repr_png_() is None
    assert GenerateContentResponse()._repr_markdown_() == "`GenerateContentResponse()`"
