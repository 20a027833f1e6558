"""The library as a user would use it: ``mypy --strict`` must find nothing wrong here.

A mistake that it must find bears a ``type: ignore`` for that very mistake, and
``--strict`` complains of one that is not needed.  The tests run those that are
named ``example_…``; the others would need a server.
"""

import copy
import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any, Dict, List, Optional

from geministream import BlockedError, Chat, collect, part_from_path, stream_generate, types
from geministream.types import (
    Blob,
    Content,
    FileData,
    FinishReason,
    FunctionCall,
    FunctionDeclaration,
    FunctionResponse,
    GenerateContentRequest,
    GenerateContentResponse,
    GenerationConfig,
    GroundingMetadata,
    HarmBlockThreshold,
    HarmCategory,
    Part,
    SafetySetting,
    ThinkingConfig,
    Tool,
    UsageMetadata,
)

ANSWER = """{
    "candidates": [{
        "content": {"role": "model", "parts": [
            {"text": "Noon."},
            {"functionCall": {"name": "clock", "args": {"zone": "UTC"}}},
            {"inlineData": {"mimeType": "text/plain", "data": "aGk="}}
        ]},
        "finishReason": "STOP",
        "groundingMetadata": {"groundingChunks": [{"web": {"uri": "https://example.com/"}}]}
    }],
    "usageMetadata": {"totalTokenCount": 3}
}"""


def conversation() -> None:
    chat = Chat("model", system_instruction="Be brief.", deadline=30)
    for chunk in chat.send("Hello", system_instruction=None, tools=[len]):
        print(chunk.text)
    Chat("model", tool=[])  # type: ignore[call-arg]
    chat.send("Hello", temprature=1)  # type: ignore[call-arg]


def streaming(question: str, picture: Path) -> str:
    text = ""
    config = GenerationConfig(temperature=0.0)
    for chunk in stream_generate("model", [question, part_from_path(picture)], generation_config=config):
        text += chunk.text
        for part in chunk.parts:
            signature: Optional[str] = part.thought_signature
            print(signature)
    return text


def collecting(question: str) -> List[FunctionCall]:
    try:
        answer: GenerateContentResponse = collect(stream_generate("model", question)).raise_for_block()
    except BlockedError as error:
        print(error.reason)
        return []
    return answer.function_calls


def example_of_reading_an_answer() -> None:
    response: GenerateContentResponse = GenerateContentResponse.from_dict(json.loads(ANSWER))
    text: str = response.raise_for_block().text
    reason: Optional[str] = response.finish_reason
    assert text == "Noon." and reason == FinishReason.STOP

    usage: Optional[UsageMetadata] = response.usage_metadata
    total: int = (usage.total_token_count or 0) if usage else 0
    assert total == 3

    for candidate in response.candidates or []:
        grounding: Optional[GroundingMetadata] = candidate.grounding_metadata
        for chunk in (grounding.grounding_chunks or []) if grounding else []:
            uri: Optional[str] = chunk.web.uri if chunk.web else None
            assert uri == "https://example.com/"


def example_of_answering_function_calls() -> None:
    response = GenerateContentResponse.from_dict(json.loads(ANSWER))
    calls: List[FunctionCall] = response.function_calls
    answers: List[Part] = []
    for call in calls:
        arguments: Dict[str, Any] = call.args or {}
        result = {"output": f"noon in {arguments['zone']}"}
        answers.append(Part(function_response=FunctionResponse(call.name, result, id=call.id)))
    turn = Content(role="user", parts=answers)
    wire: Dict[str, Any] = turn.to_dict()
    assert wire["parts"][0]["functionResponse"]["name"] == "clock"


def example_of_saving_data(folder: Path) -> None:
    for part in GenerateContentResponse.from_dict(json.loads(ANSWER)).parts:
        if part.inline_data and part.inline_data.data:
            data: bytes = part.inline_data.data
            saved: Path = part.inline_data.save(folder / "note.txt")
            assert saved.read_bytes() == data


def example_of_a_request() -> None:
    request = GenerateContentRequest(
        contents=[
            Content([Part("What is this?"), Part(file_data=FileData("files/1", "image/png"))], "user"),
            Content([Part(inline_data=Blob(b"hi", "text/plain"))], "user"),
        ],
        generation_config=GenerationConfig(
            temperature=0.5,
            max_output_tokens=100,
            stop_sequences=["."],
            thinking_config=ThinkingConfig(thinking_level=types.ThinkingLevel.LOW),
            response_json_schema={"type": "object"},
        ),
        safety_settings=[
            SafetySetting(
                category=HarmCategory.HARM_CATEGORY_HARASSMENT, threshold=HarmBlockThreshold.BLOCK_ONLY_HIGH
            )
        ],
        tools=[
            Tool(google_search={}),
            Tool(function_declarations=[FunctionDeclaration(name="clock", description="Tells the time.")]),
        ],
    )
    request.extra["brandNew"] = True
    assert request.to_dict()["brandNew"] is True


def example_of_handling_messages() -> None:
    part: Part = dataclasses.replace(Part("a"), thought=True)
    part.text = "b"
    deep: Part = copy.deepcopy(part)
    pickled: Part = pickle.loads(pickle.dumps(part))
    assert deep == pickled == part


def example_of_what_a_type_checker_refuses() -> None:
    part = Part(text="a")
    try:
        part.txt  # type: ignore[attr-defined]
        types.Parrt  # type: ignore[attr-defined]
    except AttributeError:
        pass
    try:
        Part(txt="a")  # type: ignore[call-arg]
    except TypeError:
        pass
    part.text = 5  # type: ignore[assignment]
    part.inline_data = FileData()  # type: ignore[assignment]
