// The openai SDK for Node, used as its own documentation shows.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from "openai";
import { startServer } from "./server.mjs";

let server;
let client;

before(async () => {
  server = await startServer();
  client = new OpenAI({ baseURL: server.baseURL, apiKey: "not-needed", maxRetries: 0 });
});
after(() => server?.stop());

const messages = [{ role: "user", content: "What is the capital of France?" }];
const tide = {
  model: "ember",
  temperature: 0,
  messages: [{ role: "user", content: "What is the tide in Oban?" }],
  tools: [
    {
      type: "function",
      function: {
        name: "fetch_tide",
        description: "Tide times at a harbour.",
        parameters: { type: "object", properties: { place: { type: "string" } }, required: ["place"] },
      },
    },
  ],
};

test("a plain answer, with usage", async () => {
  const answer = await client.chat.completions.create({ model: "ember", messages });
  assert.match(answer.choices[0].message.content, /Paris/);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.ok(answer.usage.prompt_tokens > 0 && answer.usage.completion_tokens > 0);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("a streamed answer is the same text, in chunks that all have a choice", async () => {
  const plain = await client.chat.completions.create({ model: "ember", messages, temperature: 0 });
  const stream = await client.chat.completions.create({ model: "ember", messages, temperature: 0, stream: true });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
  assert.equal(text, plain.choices[0].message.content);
});

test("a streamed answer with usage in its last chunk", async () => {
  const options = { model: "ember", messages, stream: true, stream_options: { include_usage: true } };
  const chunks = [];
  for await (const chunk of await client.chat.completions.create(options)) chunks.push(chunk);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
});

test("a tool is called, and its result is used", async () => {
  const answer = await client.chat.completions.create(tide);
  const { message, finish_reason } = answer.choices[0];
  assert.equal(finish_reason, "tool_calls");
  assert.equal(message.content, null);
  assert.equal(message.tool_calls[0].function.name, "fetch_tide");
  assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { place: "Oban" });

  const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "High tide at 14:05" };
  const next = await client.chat.completions.create({ ...tide, messages: [...tide.messages, message, result] });
  assert.match(next.choices[0].message.content, /14:05/);
});

test("the SDK's own stream helper puts a streamed tool call together", async () => {
  const message = await client.chat.completions.stream(tide).finalMessage();
  assert.equal(message.tool_calls.length, 1);
  assert.equal(message.tool_calls[0].function.name, "fetch_tide");
  assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { place: "Oban" });
});

test("errors come as the SDK's own kinds, with a message", async () => {
  const ask = (change) => client.chat.completions.create({ model: "ember", messages, ...change });
  await assert.rejects(ask({ model: "gpt-4" }), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.code, "model_not_found");
    assert.match(error.message, /gpt-4.*ember/s);
    return true;
  });
  await assert.rejects(ask({ max_tokens: -1 }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.equal(error.param, "max_tokens");
    return true;
  });
});

test("models are listed and found", async () => {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  assert.deepEqual(listed, ["ember"]);
  const model = await client.models.retrieve("ember");
  assert.equal(model.owned_by, "hearth");
  await assert.rejects(client.models.retrieve("no-such-model"), NotFoundError);
});

test("a key is asked for where one is set", async () => {
  const locked = await startServer("--api-key", "secret");
  try {
    const without = new OpenAI({ baseURL: locked.baseURL, apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(without.models.list(), AuthenticationError);
    const listed = await new OpenAI({ baseURL: locked.baseURL, apiKey: "secret" }).models.list();
    assert.equal(listed.data.length, 1);
  } finally {
    await locked.stop();
  }
});

test("a client that leaves in the middle of a stream harms nobody", async () => {
  const stream = await client.chat.completions.create({ model: "ember", messages, stream: true });
  for await (const _ of stream) break;
  const answer = await client.chat.completions.create({ model: "ember", messages });
  assert.match(answer.choices[0].message.content, /Paris/);
});
