// openai.test.mjs - what a program that uses the official client sees of the server.
import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import OpenAI from "openai";
import { HELLO, embeddingModel, kinds, noting, occupy, running, says, tiny, url } from "./common.mjs";

const story = process.env.CURLEW_STORY;
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0, timeout: 30000 });
const weather = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};

async function fails(promise, type, check) {
  const err = await promise.then(() => assert.fail("no error"), (e) => e);
  assert.ok(err instanceof type, `${err.constructor.name}: ${err.message}`);
  for (const [name, want] of Object.entries(check)) assert.deepEqual(err[name], want, `${name} of ${err.message}`);
  return err;
}

for (const model of kinds) {
  test(`${model}: create`, async () => {
    const { data: r, request_id: id } = await client.chat.completions
      .create({ model, messages: says("Hi") })
      .withResponse();
    assert.equal(r.object, "chat.completion");
    assert.equal(r.model, model);
    assert.match(r.id, /^chatcmpl-/);
    assert.ok(Math.abs(r.created - Date.now() / 1000) < 60);
    assert.equal(r.choices.length, 1);
    assert.deepEqual(r.choices[0].message, { role: "assistant", content: HELLO, refusal: null });
    assert.equal(r.choices[0].finish_reason, "stop");
    assert.equal(r.usage.total_tokens, r.usage.prompt_tokens + r.usage.completion_tokens);
    assert.ok(id, "no request id");
    assert.equal(r._request_id, id);
  });

  test(`${model}: stream`, async () => {
    const stream = await client.chat.completions.create({
      model, messages: says("Hi"), stream: true, stream_options: { include_usage: true },
    });
    let text = "", usage = null, finish = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, HELLO);
    assert.equal(finish, "stop");
    assert.ok(usage.completion_tokens > 0);
  });

  test(`${model}: .stream() helper to its end`, async () => {
    const stream = client.chat.completions.stream({
      model, messages: says("Hi"), n: 2, stream_options: { include_usage: true },
    });
    const events = [];
    for (const name of ["connect", "content", "message", "end", "error", "abort"]) stream.on(name, () => events.push(name));
    const final = await stream.finalChatCompletion();
    assert.deepEqual(final.choices.map((c) => [c.index, c.message.content, c.message.role, c.finish_reason]),
      [[0, HELLO, "assistant", "stop"], [1, HELLO, "assistant", "stop"]]);
    assert.equal(await stream.finalContent(), HELLO);
    assert.ok((await stream.totalUsage()).completion_tokens > 0);
    assert.equal(events[0], "connect");
    assert.equal(events.at(-1), "end");
    assert.ok(!events.includes("error") && !events.includes("abort"));
  });

  test(`${model}: tool calls, whole and streamed`, async () => {
    const ask = { model, messages: says("call"), tools: [weather] };
    const whole = await client.chat.completions.create(ask);
    const [call] = whole.choices[0].message.tool_calls;
    assert.equal(whole.choices[0].finish_reason, "tool_calls");
    assert.equal(whole.choices[0].message.content, null);
    assert.equal(call.function.name, "weather");
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Lagos" });
    const final = await client.chat.completions.stream(ask).finalChatCompletion();
    const [streamed] = final.choices[0].message.tool_calls;
    assert.equal(final.choices[0].finish_reason, "tool_calls");
    assert.deepEqual(streamed.function.arguments, call.function.arguments);
    assert.equal(streamed.type, "function");
    // the answer goes back as it came, with the tool's result
    const next = await client.chat.completions.create({
      ...ask, messages: [...says("x"), whole.choices[0].message, { role: "tool", tool_call_id: call.id, content: "42" }],
    });
    assert.ok(next.choices[0].message);
  });

  test(`${model}: runTools through a whole conversation`, async () => {
    for (const stream of [false, true]) {
      const calls = [];
      const own = { type: "function", function: { ...weather.function, parse: JSON.parse, function: (input) => {
        calls.push(input);
        return "31 degrees";
      } } };
      const runner = client.chat.completions.runTools({ model, messages: says("call"), tools: [own], stream });
      assert.equal(await runner.finalContent(), "It is warm.");
      assert.deepEqual(calls, [{ city: "Lagos" }]);
      assert.deepEqual(runner.messages.map((m) => m.role), ["user", "assistant", "tool", "assistant"]);
      assert.equal(runner.messages[2].tool_call_id, runner.messages[1].tool_calls[0].id);
      assert.ok((await runner.totalUsage()).total_tokens >= 0);
    }
  });

  test(`${model}: abort in mid-stream`, async () => {
    await running(0);
    const stream = await client.chat.completions.create({ model, messages: says("endless"), stream: true });
    let n = 0;
    for await (const chunk of stream) {
      assert.ok(chunk.choices);
      if (++n === 5) break; // leaving the loop aborts
    }
    await running(0);
    const helper = client.chat.completions.stream({ model, messages: says("endless") });
    helper.once("content", () => helper.abort());
    await fails(helper.finalChatCompletion(), OpenAI.APIUserAbortError, {});
    await running(0);
  });

  test(`${model}: abort before anything comes`, async () => {
    const stop = new AbortController();
    const waits = client.chat.completions.create({ model, messages: says("endless") }, { signal: stop.signal });
    await running(1);
    stop.abort();
    await fails(waits, OpenAI.APIUserAbortError, {});
    await running(0);
  });

  test(`${model}: an error in mid-stream is an APIError`, async () => {
    const stream = await client.chat.completions.create({ model, messages: says("boom"), stream: true });
    let text = "";
    await fails((async () => {
      for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
    })(), OpenAI.APIError, { code: "internal_error", type: "server_error" });
    assert.equal(text, "Hel");
    await fails(client.chat.completions.create({ model, messages: says("boom") }), OpenAI.InternalServerError,
      { status: 500, code: "internal_error" });
  });
}

test("models", async () => {
  const ids = [];
  for await (const m of client.models.list()) ids.push(m.id);
  assert.deepEqual(ids.filter((id) => id !== story && id !== tiny).sort(), ["forward", "generate"]);
  const one = await client.models.retrieve("forward");
  assert.equal(one.object, "model");
  assert.equal(one.owned_by, "curlew");
  assert.ok(one.context_length > 0 && one.created > 0);
  await fails(client.models.retrieve("a/b:c"), OpenAI.NotFoundError, { status: 404, code: "model_not_found", param: "model" });
});

test("bad requests", async () => {
  const create = (more) => client.chat.completions.create({ model: "forward", messages: says("Hi"), ...more });
  const err = await fails(create({ temperature: 3 }), OpenAI.BadRequestError,
    { status: 400, param: "temperature", code: "invalid_value", type: "invalid_request_error" });
  assert.match(err.message, /temperature is 3, 0 to 2 is allowed/);
  assert.ok(err.requestID);
  await fails(create({ messages: [] }), OpenAI.BadRequestError, { status: 400, param: "messages", code: "empty_array" });
  await fails(create({ model: "gpt-4" }), OpenAI.NotFoundError, { status: 404, code: "model_not_found", param: "model" });
  await fails(create({ messages: says("x".repeat(10000)) }), OpenAI.BadRequestError,
    { status: 400, code: "context_length_exceeded" });
  await fails(create({ stream: true, max_tokens: 0 }), OpenAI.BadRequestError, { status: 400, param: "max_tokens" });
  await fails(client.files.list(), OpenAI.NotFoundError, { status: 404, code: "unknown_url" });
});

// Every attempt of a client with its own default of two retries, counted on the way.
async function attempts(body) {
  let n = 0;
  const proxy = http.createServer((req, res) => {
    n++;
    const on = http.request(url + req.url, { method: req.method, headers: req.headers }, (reply) => {
      res.writeHead(reply.statusCode, reply.headers);
      reply.pipe(res);
    });
    req.pipe(on);
  });
  await new Promise((r) => proxy.listen(0, "127.0.0.1", r));
  const retrying = new OpenAI({ baseURL: `http://127.0.0.1:${proxy.address().port}/v1`, apiKey: "none" });
  const err = await retrying.chat.completions.create(body).then(() => null, (e) => e);
  proxy.close();
  proxy.closeAllConnections();
  return [n, err?.status];
}

test("what cannot be helped by repeating is not repeated", async () => {
  const ask = { model: "forward", messages: says("Hi") };
  assert.deepEqual(await attempts(ask), [1, undefined]);
  assert.deepEqual(await attempts({ ...ask, temperature: 3 }), [1, 400]);
  assert.deepEqual(await attempts({ ...ask, model: "none" }), [1, 404]);
  assert.deepEqual(await attempts({ ...ask, messages: says("boom") }), [1, 500]);
});

test("a queue that is too slow, or full", async () => {
  await running(0);
  const ask = { model: "generate", messages: says("Hi") };
  const first = await client.chat.completions.create({ ...ask, messages: says("endless"), stream: true });
  await running(1);
  const wait = fails(client.chat.completions.create(ask), OpenAI.InternalServerError, { status: 503 });
  await running(2);
  await fails(client.chat.completions.create(ask), OpenAI.RateLimitError,
    { status: 429, code: "queue_full", type: "rate_limit_error" });
  const err = await wait;
  assert.match(err.message, /300 ms/);
  assert.ok(err.headers.get("retry-after"));
  first.controller.abort();
  await running(0);
});

test("completions", async () => {
  const r = await client.completions.create({ model: "forward", prompt: ["Hi", [72, 105]], max_tokens: 5, logprobs: 2, echo: true });
  assert.equal(r.object, "text_completion");
  assert.deepEqual(r.choices.map((c) => c.text), ["HiHello", "HiHello"]);
  assert.equal(r.choices[0].logprobs.tokens.join(""), "HiHello");
  let text = "";
  for await (const chunk of await client.completions.create({ model: "generate", prompt: "Hi", stream: true }))
    text += chunk.choices[0].text;
  assert.equal(text, HELLO);
});

test("embeddings", async () => {
  for (const model of kinds) {
    const ask = { model, input: ["a", "ab", "abcd"] }; // the state of a byte b has a 1 at b % 4
    const raw = await client.embeddings.create(ask); // the client asks for base64 and decodes it
    const half = Math.SQRT1_2;
    const want = [[0, 1, 0, 0], [0, half, half, 0], [0.5, 0.5, 0.5, 0.5]];
    raw.data.forEach((d, i) => d.embedding.forEach((v, k) => assert.ok(Math.abs(v - want[i][k]) < 1e-7, `${v}`)));
    assert.deepEqual(raw.data.map((d) => d.index), [0, 1, 2]);
    assert.deepEqual(raw.usage, { prompt_tokens: 7, total_tokens: 7 });
    const plain = await client.embeddings.create({ ...ask, encoding_format: "float", dimensions: 2 });
    assert.deepEqual(plain.data[0].embedding, [0, 1]);
    await fails(client.embeddings.create({ ...ask, dimensions: 5 }), OpenAI.BadRequestError, { param: "dimensions" });
  }
  const tokens = await client.embeddings.create({ model: "forward", input: [[97], [97, 98]] });
  assert.deepEqual(tokens.data.map((d) => d.embedding.length), [4, 4]);
});

test("logprobs", async () => {
  const ask = { model: "forward", messages: says("Hi"), logprobs: true, top_logprobs: 3 };
  const whole = await client.chat.completions.create(ask);
  const list = whole.choices[0].logprobs.content;
  assert.equal(Buffer.from(list.flatMap((t) => t.bytes)).toString(), HELLO);
  const final = await client.chat.completions.stream(ask).finalChatCompletion();
  assert.deepEqual(final.choices[0].logprobs.content, list);
});

test("a real model", { skip: story ? false : "no shared weights" }, async () => {
  const ask = { model: story, prompt: "Once upon a time", max_tokens: 30, temperature: 0 };
  const whole = (await client.completions.create(ask)).choices[0].text;
  assert.match(whole, /^, there was a little girl named Lily\./);
  let text = "";
  for await (const chunk of await client.completions.create({ ...ask, stream: true })) text += chunk.choices[0].text;
  assert.equal(text, whole);
  const many = await Promise.all(Array.from({ length: 4 }, () => client.completions.create(ask)));
  assert.deepEqual(many.map((r) => r.choices[0].text), Array(4).fill(whole));
  const chat = await client.chat.completions.stream({ model: story, messages: says("Hi"), max_tokens: 10 }).finalChatCompletion();
  assert.equal(chat.choices[0].finish_reason, "length");
});

test("what is refused for a while is asked again, after the time that the server names", async () => {
  const free = await occupy();
  const { attempts, fetch } = noting(free);
  const patient = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", fetch });
  const r = await patient.chat.completions.create({ model: "generate", messages: says("Hi") });
  assert.equal(r.choices[0].message.content, HELLO);
  assert.deepEqual(attempts, [{ status: 503, retryAfter: "1" }, { status: 200, retryAfter: null }]);
});

test("the bundled model calls a tool and uses its answer", async () => {
  const calls = [];
  const runner = client.chat.completions.runTools({
    model: tiny, messages: says("Do I need an umbrella in Gaple?"), temperature: 0, stream: true,
    tools: [{ type: "function", function: {
      name: "get_weather", description: "Shows the weather of a place",
      parameters: { type: "object", properties: { location: { type: "string" } }, required: ["location"] },
      parse: JSON.parse,
      function: (input) => {
        calls.push(input);
        return { weather: "rain", degrees: 12 };
      },
    } }],
  });
  assert.match(await runner.finalContent(), /rain/);
  assert.deepEqual(calls, [{ location: "Gaple" }]);
});

test("embeddings", async (t) => {
  const model = await embeddingModel();
  if (!model) return t.skip("no model of this server answers /v1/embeddings");
  const r = await client.embeddings.create({ model, input: ["Hi", "there"] }); // asks for base64 by itself
  assert.deepEqual(r.data.map((d) => d.index), [0, 1]);
  assert.ok(r.data[0].embedding.length > 0 && r.data[0].embedding.every(Number.isFinite));
});
