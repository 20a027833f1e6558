// Whether a search of the built pages leads newcomers to an answer: node docs/check_search.js DIRECTORY
//
// The search is Sphinx's own, with the built index. For each question, the first result must be a page
// that answers it.

const fs = require("fs");
const path = require("path");
const vm = require("vm");

const QUESTIONS = {
  "whole answer": "start, guides/streaming",
  "get the whole answer": "start, guides/streaming",
  "save an image": "guides/media",
  "print the sources": "guides/sources",
  "count tokens": "guides/tokens",
  "company's proxy": "guides/endpoints",
  proxy: "guides/endpoints",
  "test without a network": "guides/testing",
  "stop after ten seconds": "guides/time",
  "what does this exception mean": "guides/errors",
  exceptions: "guides/errors",
  "is it safe to log": "guides/security",
  temperature: "guides/streaming",
  "system instruction": "guides/streaming",
  "safety settings": "guides/streaming",
  "rate limit": "guides/errors, guides/time",
  retries: "reference/endpoint, guides/time",
  "vertex ai": "guides/endpoints",
  "base url": "guides/endpoints",
  "client certificate": "guides/endpoints",
  "upload a video": "guides/media",
  "wav file": "guides/media",
  "thinking budget": "guides/thinking",
  pydantic: "guides/structured",
  dataclass: "guides/structured, start",
  dask: "guides/many",
  "pytest fixture": "guides/testing",
  "google-genai": "guides/moving",
  "exit status": "guides/cli",
  asyncio: "guides/embedding",
  flask: "guides/embedding",
  threads: "guides/embedding, guides/time, guides/many",
};

const built = process.argv[2];
const nothing = () => undefined;
const element = { dataset: {} };
const context = vm.createContext({
  console,
  URLSearchParams,
  localStorage: { getItem: nothing },
  document: { addEventListener: nothing, querySelector: nothing, getElementById: nothing, documentElement: element },
  DOCUMENTATION_OPTIONS: { FILE_SUFFIX: ".html", LINK_SUFFIX: ".html", BUILDER: "html" },
  Documentation: {},
  SPHINX_HIGHLIGHT_ENABLED: false,
  _ready: nothing,
  _: (text) => text,
});
context.window = context;
context.location = { search: "" };

const run = (name) => vm.runInContext(fs.readFileSync(path.join(built, name), "utf-8"), context);
["base-stemmer.js", "english-stemmer.js", "language_data.js", "searchtools.js"]
  .map((name) => path.join("_static", name))
  .filter((name) => fs.existsSync(path.join(built, name)))
  .forEach(run);
vm.runInContext("this.theSearch = Search", context);
run("searchindex.js");

let failures = 0;
for (const [question, answers] of Object.entries(QUESTIONS)) {
  const found = context.theSearch._performSearch(...context.theSearch._parseQuery(question));
  const pages = found.reverse().map((result) => result[0]); // the best is last
  const good = answers.split(", ").includes(pages[0]);
  failures += good ? 0 : 1;
  console.log(`${good ? "ok  " : "MISS"} ${question}: ${pages.slice(0, 3).join(", ")}`);
}
process.exit(failures ? 1 : 0);
