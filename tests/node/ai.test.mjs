// ai.test.mjs - what a program sees that uses Vercel's AI SDK.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, RetryError, embed, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { HELLO, embeddingModel, kinds, noting, occupy, running, tiny, url } from "./common.mjs";

const provider = (more) =>
  createOpenAICompatible({ name: "curlew", baseURL: `${url}/v1`, apiKey: "none", includeUsage: true, ...more });
const curlew = provider();
const quiet = { maxRetries: 0 };

function weather(calls) {
  return tool({
    description: "Shows the weather of a place",
    inputSchema: z.object({ city: z.string() }),
    execute: async (input) => {
      calls.push(input);
      return "31 degrees";
    },
  });
}

for (const kind of kinds) {
  const model = curlew(kind);

  test(`${kind}: generate`, async () => {
    const r = await generateText({ ...quiet, model, prompt: "Hi" });
    assert.equal(r.text, HELLO);
    assert.equal(r.finishReason, "stop");
    assert.ok(r.usage.inputTokens > 0 && r.usage.outputTokens > 0);
    assert.equal(r.response.modelId, kind);
    assert.match(r.response.id, /^chatcmpl-/);
    const cut = await generateText({ ...quiet, model, prompt: "Hi", maxOutputTokens: 1 });
    assert.equal(cut.finishReason, "length");
  });

  test(`${kind}: stream`, async () => {
    const r = streamText({ ...quiet, model, prompt: "Hi" });
    const parts = [];
    for await (const part of r.fullStream) parts.push(part);
    assert.equal(parts.filter((p) => p.type === "text-delta").map((p) => p.text).join(""), HELLO);
    assert.ok(!parts.some((p) => p.type === "error"), JSON.stringify(parts));
    assert.equal(parts.at(-1).type, "finish");
    assert.equal(parts.at(-1).finishReason, "stop");
    assert.ok((await r.usage).outputTokens > 0);
  });

  test(`${kind}: a whole tool conversation, generated and streamed`, async () => {
    const calls = [];
    const ask = { ...quiet, model, prompt: "call", tools: { weather: weather(calls) }, stopWhen: stepCountIs(4) };
    const whole = await generateText(ask);
    assert.deepEqual(calls, [{ city: "Lagos" }]);
    assert.equal(whole.text, "It is warm.");
    assert.deepEqual(whole.steps.map((s) => s.finishReason), ["tool-calls", "stop"]);
    const stream = streamText(ask);
    assert.equal(await stream.text, "It is warm.");
    assert.equal((await stream.steps).length, 2);
    assert.deepEqual(calls, [{ city: "Lagos" }, { city: "Lagos" }]);
  });

  test(`${kind}: abort`, async () => {
    await running(0);
    const stop = new AbortController();
    const r = streamText({ ...quiet, model, prompt: "endless", abortSignal: stop.signal });
    let n = 0;
    for await (const part of r.fullStream) {
      if (part.type === "text-delta" && ++n === 3) stop.abort();
      if (part.type === "abort") break;
    }
    assert.ok(n >= 3);
    await running(0);
    const second = new AbortController();
    const waits = generateText({ ...quiet, model, prompt: "endless", abortSignal: second.signal });
    await running(1);
    second.abort();
    await assert.rejects(waits, { name: "AbortError" });
    await running(0);
  });

  test(`${kind}: errors`, async () => {
    await assert.rejects(generateText({ ...quiet, model, prompt: "Hi", temperature: 3 }), (e) => {
      assert.ok(APICallError.isInstance(e));
      assert.equal(e.statusCode, 400);
      assert.match(e.message, /temperature is 3, 0 to 2 is allowed/);
      assert.equal(e.isRetryable, false);
      return true;
    });
    await assert.rejects(generateText({ ...quiet, model: curlew("none"), prompt: "Hi" }), { statusCode: 404 });
    const failed = streamText({ ...quiet, model, prompt: "boom", onError: () => {} });
    const parts = [];
    for await (const part of failed.fullStream) parts.push(part);
    assert.equal(parts.filter((p) => p.type === "text-delta").map((p) => p.text).join(""), "Hel");
    assert.match(JSON.stringify(parts.find((p) => p.type === "error").error), /device is on fire/);
  });
}

test("what is refused for a while is asked again", async () => {
  const free = await occupy();
  const { attempts, fetch } = noting(free);
  const r = await generateText({ model: provider({ fetch })("generate"), prompt: "Hi", maxRetries: 5 });
  assert.equal(r.text, HELLO);
  assert.deepEqual(attempts.map((a) => a.status), [503, 200]);
  assert.equal(attempts[0].retryAfter, "1");
  const refused = noting();
  await assert.rejects(generateText({ model: provider({ fetch: refused.fetch })("forward"), prompt: "Hi", temperature: 3 }));
  assert.equal(refused.attempts.length, 1, "what cannot be helped is not asked again");
  await assert.rejects(generateText({ model: curlew("forward"), prompt: "boom", maxRetries: 1 }),
    (e) => RetryError.isInstance(e) || APICallError.isInstance(e));
});

test("completions", async () => {
  const r = await generateText({ ...quiet, model: curlew.completionModel("forward"), prompt: "Hi", maxOutputTokens: 50 });
  assert.equal(r.text, HELLO);
});

test("the bundled model calls a tool and uses its answer", async () => {
  const calls = [];
  const r = await generateText({
    ...quiet, model: curlew(tiny), temperature: 0, prompt: "Do I need an umbrella in Gaple?", stopWhen: stepCountIs(3),
    tools: {
      get_weather: tool({
        description: "Shows the weather of a place", inputSchema: z.object({ location: z.string() }),
        execute: async (input) => {
          calls.push(input);
          return { weather: "rain", degrees: 12 };
        },
      }),
    },
  });
  assert.deepEqual(calls, [{ location: "Gaple" }]);
  assert.match(r.text, /rain/);
});

test("embeddings", async (t) => {
  const model = await embeddingModel();
  if (!model) return t.skip("no model of this server answers /v1/embeddings");
  const r = await embed({ ...quiet, model: curlew.textEmbeddingModel(model), value: "Hi" });
  assert.ok(r.embedding.length > 0 && r.embedding.every(Number.isFinite));
  assert.ok(r.usage.tokens > 0);
});
