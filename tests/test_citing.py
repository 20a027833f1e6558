"""``find_sources`` and ``cite``: where an answer comes from."""

import random

import pytest

from geministream import ConfigurationError, GenerateContentResponse, Source, cite, collect, find_sources


def answer(text, **candidate):
    parts = text if isinstance(text, list) else [{"text": text}]
    return GenerateContentResponse.from_dict({"candidates": [{"content": {"parts": parts}, **candidate}]})


def support(words, start, end, *indices, **more):
    """A grounding support for ``words[start:end]``, in bytes as the API counts."""
    segment = {"startIndex": len(words[:start].encode()), "endIndex": len(words[:end].encode()), **more}
    return {"segment": segment, "groundingChunkIndices": list(indices)}


def web(uri, title):
    return {"web": {"uri": uri, "title": title}}


def test_an_answer_without_sources():
    assert find_sources(answer("Hi\n")) == []
    assert cite(answer("Hi\n")) == "Hi\n"
    assert cite(GenerateContentResponse()) == ""


@pytest.mark.parametrize("function", [cite, find_sources])
def test_a_stream_must_be_collected_first(function):
    with pytest.raises(ConfigurationError, match=r"use collect\(\)"):
        function(iter([answer("Hi")]))


def test_footnotes_are_right_behind_characters_of_several_bytes():
    text = "Grüße aus Köln 🚀 um zwölf. Bis morgen."
    grounding = {
        "groundingChunks": [web("https://a.example", "A"), web("https://b.example", "B")],
        "groundingSupports": [support(text, 0, 14, 0), support(text, 17, 26, 0, 1)],
    }
    response = answer(text, groundingMetadata=grounding)
    assert find_sources(response) == [
        Source("https://a.example", "A", ((0, 14), (17, 26))),
        Source("https://b.example", "B", ((17, 26),)),
    ]
    assert cite(response) == (
        "Grüße aus Köln[1] 🚀 um zwölf.[1][2] Bis morgen.\n\n[1] A: https://a.example\n[2] B: https://b.example"
    )


def test_random_texts_against_slices():
    """The span in characters is the slice that the segment was made of."""
    rng = random.Random(7)
    for _ in range(300):
        text = "".join(rng.choice("aä€🚀 \n") for _ in range(rng.randint(2, 40)))
        start = rng.randrange(len(text) - 1)
        end = rng.randint(start + 1, len(text))
        quoted = rng.choice([{}, {"text": text[start:end]}])
        grounding = {
            "groundingChunks": [web("https://a.example", "A")],
            "groundingSupports": [support(text, start, end, 0, **quoted)],
        }
        (source,) = find_sources(answer(text, groundingMetadata=grounding))
        assert source.spans == ((start, end),)


def test_a_part_further_back():
    parts = [{"text": "hm", "thought": True}, {"text": "Eins. ", "thoughtSignature": "s"}, {"text": "Zwölf."}]
    grounding = {
        "groundingChunks": [web("https://a.example", None)],
        "groundingSupports": [support("Zwölf.", 0, 6, 0, partIndex=2)],
    }
    (source,) = find_sources(answer(parts, groundingMetadata=grounding))
    assert source == Source("https://a.example", None, ((6, 12),))


def test_words_count_more_than_numbers():
    """In a collected answer the parts of the stream are joined, and their indices mean nothing."""
    pieces = ["Noon is ", "at twelve."]
    grounding = {
        "groundingChunks": [web("https://a.example", "A")],
        "groundingSupports": [support(pieces[1], 0, 10, 0, text=pieces[1], partIndex=1)],
    }
    first = answer(pieces[0])
    response = collect([first, answer(pieces[1], groundingMetadata=grounding)])
    (source,) = find_sources(response)
    assert response.text[slice(*source.spans[0])] == "at twelve."


def test_sources_that_no_support_names_are_listed():
    grounding = {"groundingChunks": [web("https://a.example", "A"), {"retrievedContext": {"title": "notes"}}]}
    response = answer("Hi", groundingMetadata=grounding)
    assert find_sources(response) == [Source("https://a.example", "A"), Source(None, "notes")]
    assert cite(response) == "Hi\n\n[1] A: https://a.example\n[2] notes"


@pytest.mark.parametrize("name", ["citations", "citationSources"])
def test_citations(name):
    citation = {"startIndex": 3, "endIndex": 6, "uri": "https://c.example", "title": "C"}
    response = answer("To be or not", citationMetadata={name: [citation]})
    assert find_sources(response) == [Source("https://c.example", "C", ((3, 6),))]
    assert cite(response) == "To be[1] or not\n\n[1] C: https://c.example"


@pytest.mark.parametrize(
    "candidate",
    [
        {"groundingMetadata": "odd"},
        {"groundingMetadata": {"groundingChunks": 7, "groundingSupports": [{"segment": 3}]}},
        {"groundingMetadata": {"groundingChunks": [3, {}, {"web": {}}], "groundingSupports": [{}, 7]}},
        {"citationMetadata": {"citations": [{"uri": 3}, {"startIndex": 1}]}},
    ],
)
def test_odd_values_from_a_server_do_not_raise(candidate):
    assert find_sources(answer("Hi", **candidate)) == []


@pytest.mark.parametrize("start, end", [(5, 3), (0, 99), (-1, 2), ("0", "2"), (2, None)])
def test_a_span_that_cannot_be_is_left_out(start, end):
    segment = {"startIndex": start, "endIndex": end}
    grounding = {
        "groundingChunks": [web("https://a.example", "A")],
        "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0, 9, "x"]}],
    }
    assert find_sources(answer("Hello", groundingMetadata=grounding)) == [Source("https://a.example", "A")]
