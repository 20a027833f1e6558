"""Clients for Node.js against LocalServer: @google/genai, @google/generative-ai and the Vercel AI SDK.

With GEMINISTREAM_NPM_TESTS=1 their packages are installed into a temporary folder; otherwise the tests
are skipped. Each test runs the body of a function, which returns what the test checks, in one process
of Node.js for all.
"""

import hashlib
import json
import re
import subprocess
import threading

import pytest

from geministream.testing import Answer, LocalServer

PACKAGES = ["@google/genai", "@google/generative-ai", "@ai-sdk/google", "ai", "zod"]
MODEL = "gemini-flash-latest"
PARIS = 'look({"city": "Paris"})'
PARIS_AND_OSLO = PARIS + ' and look({"city": "Oslo"})'
IMAGE_ANSWER = f"You said: Look\nYou sent image/png, 3 bytes, SHA-256 {hashlib.sha256(b'abc').hexdigest()}."
#: What a cut stream is sent with.
CUT = {"stop_after": -20, "gzip": False}

#: Runs the functions whose bodies it reads, one in each line.
RUNNER = """
import { createInterface } from "node:readline";
const AsyncFunction = (async () => {}).constructor;
const load = name => import(name);
const failed = error => ({error: String(error), status: error.status});
for await (const line of createInterface({input: process.stdin})) {
  const {base, body} = JSON.parse(line);
  console.log(JSON.stringify(await new AsyncFunction("base", "load", body)(base, load).catch(failed)));
}
"""

#: What the functions share.
COMMON = """
const model = "gemini-flash-latest";
const image = Buffer.from("abc").toString("base64");
const cities = {type: "object", properties: {city: {type: "string"}}, required: ["city"]};
const recipe = {type: "object", properties: {name: {type: "string"}, minutes: {type: "integer"}}};
async function each(stream, get) {
  const all = [];
  for await (const chunk of await stream) all.push(get(chunk));
  return all;
}
const sky = call => ({functionResponse: {name: call.name, id: call.id, response: {sky: `sunny in ${call.args.city}`}}});
"""

GENAI = """
const { GoogleGenAI } = await load("@google/genai");
const client = new GoogleGenAI({apiKey: "local-key", httpOptions: {baseUrl: base}});
const stream = (contents, config) => client.models.generateContentStream({model, contents, config});
const text = chunk => chunk.text || "";
const look = {functionDeclarations: [{name: "look", parametersJsonSchema: cities}]};
"""

GENERATIVE_AI = """
const { GoogleGenerativeAI } = await load("@google/generative-ai");
const { GoogleAIFileManager } = await load("@google/generative-ai/server");
const client = config => new GoogleGenerativeAI("local-key").getGenerativeModel({model, ...config}, {baseUrl: base});
const text = chunk => chunk.text();
async function stream(request, config) {
  const result = await client(config).generateContentStream(request);
  result.response.catch(() => {});  // the same error as that of the stream
  return result.stream;
}
"""

AI_SDK = """
const { createGoogleGenerativeAI } = await load("@ai-sdk/google");
const { stepCountIs, streamObject, streamText, tool } = await load("ai");
const { z } = await load("zod");
const google = createGoogleGenerativeAI({apiKey: "local-key", baseURL: base + "/v1beta"})(model);
const ask = more => streamText({model: google, maxRetries: 0, onError() {}, ...more});
"""


@pytest.fixture(scope="session")
def node(npm_installed):
    """A function that runs the body of a JavaScript function with the base URL of a server."""
    folder = npm_installed(*PACKAGES)
    log = folder / "stderr"
    command = ["node", "--input-type=module", "--eval", RUNNER]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    with open(log, "wb") as stderr, subprocess.Popen(command, cwd=folder, stderr=stderr, **pipes) as process:

        def run(base, body):
            limit = threading.Timer(60, process.kill)
            limit.start()
            process.stdin.write(json.dumps({"base": base, "body": body}) + "\n")
            process.stdin.flush()
            result = process.stdout.readline()
            limit.cancel()
            assert result, log.read_text("utf-8")
            return json.loads(result)

        yield run


@pytest.fixture
def run(node, server):
    """Run the body of a JavaScript function with a client; return its result, or {error} with its message."""
    return lambda client, body, at=server: node(at.url, COMMON + client + body)


def strict():
    """A server that checks thought signatures."""
    return LocalServer(require_signatures=True)


def assert_streamed(server, texts):
    assert len(texts) > 1 and "".join(texts) == "You said: Hello there, you"
    assert server.requests[0].verb == "streamGenerateContent" and server.requests[0].query["alt"] == "sse"


# -- @google/genai -----------------------------------------------------------------


def test_genai_stream(server, run):
    assert_streamed(server, run(GENAI, 'return each(stream("Hello there, you"), text)'))


def test_genai_chat(server, run):
    body = """
        const chat = client.chats.create({model});
        await each(chat.sendMessageStream({message: "I have 2 dogs"}), text);
        return (await each(chat.sendMessageStream({message: "How many paws?"}), text)).join("");
    """
    assert run(GENAI, body) == server.expected_text(server.requests[1].json)
    assert server.requests[1].json["contents"][0]["parts"][0]["text"] == "I have 2 dogs"


def test_genai_image(run):
    body = """
        const picture = {inlineData: {mimeType: "image/png", data: image}};
        return (await each(stream([{text: "Look"}, picture]), text)).join("");
    """
    assert run(GENAI, body) == IMAGE_ANSWER


GENAI_TOOLS = """
    const chat = client.chats.create({model, config: {tools: [look]}});
    const calls = (await each(chat.sendMessageStream({message: PROMPT}), chunk => chunk.functionCalls || [])).flat();
    return (await each(chat.sendMessageStream({message: calls.map(sky)}), text)).join("");
"""


def test_genai_tools_in_two_rounds(run):
    with strict() as server:
        answer = run(GENAI, GENAI_TOOLS.replace("PROMPT", json.dumps(PARIS)), at=server)
        assert "sunny in Paris" in answer and server.request_count == 2


def test_genai_streamed_parallel_calls_are_refused(run):
    """It keeps a content for each chunk, as the SDK for Python does: see `test_google_genai`."""
    with strict() as server:
        failed = run(GENAI, GENAI_TOOLS.replace("PROMPT", json.dumps(PARIS_AND_OSLO)), at=server)
        assert failed["status"] == 400 and "number of function response parts" in failed["error"]
        _, *calls, _ = server.requests[1].json["contents"]
        assert [len(content["parts"]) for content in calls] == [1, 1]


def test_genai_structured_output(run):
    body = """
        const config = {responseMimeType: "application/json", responseJsonSchema: recipe};
        return JSON.parse((await each(stream("a recipe", config), text)).join(""));
    """
    assert run(GENAI, body) == {"name": "name", "minutes": 1}


def test_genai_file(server, run):
    body = """
        const file = await client.files.upload({file: new Blob(["notes"]), config: {mimeType: "text/plain"}});
        const part = {fileData: {fileUri: file.uri, mimeType: file.mimeType}};
        return (await each(stream([{text: "Look"}, part]), text)).join("");
    """
    answer = run(GENAI, body)
    (stored,) = server.files.values()
    assert stored.sha256 == hashlib.sha256(b"notes").hexdigest() and stored.sha256 in answer


def test_genai_rate_limit(server, run):
    server.queue(Answer.failure(429, "slow down"))
    failed = run(GENAI, 'return each(stream("x"), text)')
    assert failed["status"] == 429 and "slow down" in failed["error"] and server.request_count == 1


@pytest.mark.parametrize(
    "how, message", [("end", "Incomplete JSON segment"), ("drop", "terminated"), ("reset", "terminated")]
)
def test_genai_cut_stream(server, run, how, message):
    server.queue(Answer(["You ", "said"], stop_how=how, **CUT))
    assert message in run(GENAI, 'return each(stream("x"), text)')["error"]


# -- @google/generative-ai ---------------------------------------------------------


def test_generative_ai_stream(server, run):
    assert_streamed(server, run(GENERATIVE_AI, 'return each(stream("Hello there, you"), text)'))


def test_generative_ai_chat(server, run):
    body = """
        const chat = client().startChat();
        await chat.sendMessage("I have 2 dogs");
        return (await each((await chat.sendMessageStream("How many paws?")).stream, text)).join("");
    """
    assert run(GENERATIVE_AI, body) == server.expected_text(server.requests[1].json)
    assert [each["role"] for each in server.requests[1].json["contents"]] == ["user", "model", "user"]


def test_generative_ai_image(run):
    body = """
        const picture = {inlineData: {mimeType: "image/png", data: image}};
        return (await each(stream(["Look", picture]), text)).join("");
    """
    assert run(GENERATIVE_AI, body) == IMAGE_ANSWER


GENERATIVE_AI_TOOLS = """
    const chat = client({tools: [{functionDeclarations: [{name: "look", parameters: cities}]}]}).startChat();
    const first = await chat.sendMessageStream(PROMPT);
    await each(first.stream, () => null);
    const second = await chat.sendMessageStream((await first.response).functionCalls().map(sky));
    second.response.catch(() => {});  // the same error as that of the stream
    return (await each(second.stream, text)).join("");
"""


@pytest.mark.parametrize("prompt", [PARIS, PARIS_AND_OSLO])
def test_generative_ai_tools_in_two_rounds(run, server, prompt):
    answer = run(GENERATIVE_AI, GENERATIVE_AI_TOOLS.replace("PROMPT", json.dumps(prompt)))
    assert answer.count("sunny in") == prompt.count("look(") and server.request_count == 2


def test_generative_ai_loses_signatures(run):
    """It is older than thought signatures and drops them: models that demand them refuse its second round."""
    with strict() as server:
        failed = run(GENERATIVE_AI, GENERATIVE_AI_TOOLS.replace("PROMPT", json.dumps(PARIS)), at=server)
        assert failed["status"] == 400 and "missing a thought_signature" in failed["error"]


def test_generative_ai_structured_output(run):
    body = """
        const generationConfig = {responseMimeType: "application/json", responseSchema: recipe};
        return JSON.parse((await each(stream("a recipe", {generationConfig}), text)).join(""));
    """
    assert run(GENERATIVE_AI, body) == {"name": "name", "minutes": 1}


def test_generative_ai_file(server, run):
    body = """
        const files = new GoogleAIFileManager("local-key", {baseUrl: base});
        const {file} = await files.uploadFile(Buffer.from("notes"), {mimeType: "text/plain"});
        const part = {fileData: {fileUri: file.uri, mimeType: file.mimeType}};
        return (await each(stream(["Look", part]), text)).join("");
    """
    answer = run(GENERATIVE_AI, body)
    (stored,) = server.files.values()
    assert stored.sha256 == hashlib.sha256(b"notes").hexdigest() and stored.sha256 in answer


def test_generative_ai_rate_limit(server, run):
    server.queue(Answer.failure(429, "slow down"))
    failed = run(GENERATIVE_AI, 'return each(stream("x"), text)')
    assert failed["status"] == 429 and "slow down" in failed["error"] and server.request_count == 1


@pytest.mark.parametrize(
    "how, message",
    [
        ("end", "Failed to parse stream"),
        ("drop", "Error reading from the stream"),
        ("reset", "Error reading from the stream"),
    ],
)
def test_generative_ai_cut_stream(server, run, how, message):
    server.queue(Answer(["You ", "said"], stop_how=how, **CUT))
    assert message in run(GENERATIVE_AI, 'return each(stream("x"), text)')["error"]


# -- the Vercel AI SDK ---------------------------------------------------------------


def test_ai_sdk_stream(server, run):
    body = 'return each(ask({prompt: "Hello there, you"}).textStream, text => text)'
    assert_streamed(server, run(AI_SDK, body))


def test_ai_sdk_chat(server, run):
    body = """
        const messages = [{role: "user", content: "I have 2 dogs"}];
        const first = ask({messages});
        await first.consumeStream();
        messages.push(...(await first.response).messages, {role: "user", content: "How many paws?"});
        return (await each(ask({system: "Be kind", messages}).textStream, text => text)).join("");
    """
    assert run(AI_SDK, body) == server.expected_text(server.requests[1].json)
    assert [each["role"] for each in server.requests[1].json["contents"]] == ["user", "model", "user"]


def test_ai_sdk_image(run):
    body = """
        const content = [{type: "text", text: "Look"}, {type: "file", data: image, mediaType: "image/png"}];
        const messages = [{role: "user", content}];
        return (await each(ask({messages}).textStream, text => text)).join("");
    """
    assert run(AI_SDK, body) == IMAGE_ANSWER


@pytest.mark.parametrize("prompt", [PARIS, PARIS_AND_OSLO])
def test_ai_sdk_tools_in_two_rounds(run, prompt):
    body = """
        const look = tool({
            description: "Look.",
            inputSchema: z.object({city: z.string()}),
            execute: async ({city}) => `sunny in ${city}`,
        });
        const stream = ask({prompt: PROMPT, tools: {look}, stopWhen: stepCountIs(2)});
        return (await each(stream.textStream, text => text)).join("");
    """
    with strict() as server:
        answer = run(AI_SDK, body.replace("PROMPT", json.dumps(prompt)), at=server)
        assert answer.count("sunny in") == prompt.count("look(") and server.request_count == 2


def test_ai_sdk_structured_output(run):
    body = """
        const schema = z.object({name: z.string(), minutes: z.number().int()});
        const stream = streamObject({model: google, maxRetries: 0, prompt: "a recipe", schema});
        await each(stream.partialObjectStream, () => null);
        return stream.object;
    """
    answer = run(AI_SDK, body)
    assert answer.keys() == {"name", "minutes"} and answer["name"] == "name"


AI_SDK_PARTS = """
    const parts = await each(ask({prompt: "x"}).fullStream, part => part);
    return parts.map(({type, text, error, finishReason}) =>
        ({type, text, finishReason, error: error && String(error), status: error && error.statusCode}));
"""


def test_ai_sdk_rate_limit(server, run):
    server.queue(Answer.failure(429, "slow down"))
    (failed,) = [part for part in run(AI_SDK, AI_SDK_PARTS) if part["type"] == "error"]
    assert failed["status"] == 429 and "slow down" in failed["error"] and server.request_count == 1


@pytest.mark.parametrize("how", ["drop", "reset"])
def test_ai_sdk_broken_connection(server, run, how):
    server.queue(Answer(["You ", "said"], stop_how=how, **CUT))
    failed = run(AI_SDK, AI_SDK_PARTS)["error"]
    assert re.search("terminated|Failed to process successful response", failed)  # it depends on the moment


def test_ai_sdk_cut_event_is_dropped(server, run):
    """Nothing but the finish reason "other" says that something is missing."""
    server.queue(Answer(["You ", "said"], **CUT))
    parts = run(AI_SDK, AI_SDK_PARTS)
    assert [part["text"] for part in parts if part["type"] == "text-delta"] == ["You "]
    assert parts[-1] == {"type": "finish", "finishReason": "other"}
