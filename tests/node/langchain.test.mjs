// langchain.test.mjs - what a program sees that uses LangChain.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AIMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";
import { HELLO, embeddingModel, kinds, noting, occupy, running, tiny, url } from "./common.mjs";

const chat = (model, more = {}, configuration = {}) =>
  new ChatOpenAI({ model, apiKey: "none", maxRetries: 0, configuration: { baseURL: `${url}/v1`, ...configuration }, ...more });

const weather = (calls) =>
  tool(async (input) => {
    calls.push(input);
    return "31 degrees";
  }, { name: "weather", description: "Shows the weather of a place", schema: z.object({ city: z.string() }) });

for (const kind of kinds) {
  test(`${kind}: invoke`, async () => {
    const r = await chat(kind).invoke("Hi");
    assert.equal(r.content, HELLO);
    assert.equal(r.response_metadata.finish_reason, "stop");
    assert.ok(r.usage_metadata.input_tokens > 0 && r.usage_metadata.output_tokens > 0);
    assert.match(r.id, /^chatcmpl-/);
  });

  test(`${kind}: stream`, async () => {
    let all = null;
    for await (const chunk of await chat(kind).stream("Hi")) all = all ? all.concat(chunk) : chunk;
    assert.equal(all.content, HELLO);
    assert.equal(all.response_metadata.finish_reason, "stop");
    assert.ok(all.usage_metadata.output_tokens > 0);
  });

  test(`${kind}: a whole tool conversation`, async () => {
    const calls = [], own = weather(calls), model = chat(kind).bindTools([own]);
    const messages = [new HumanMessage("call")];
    for (let turn = 0; turn < 3; turn++) {
      const answer = await model.invoke(messages);
      messages.push(answer);
      if (!answer.tool_calls.length) break;
      assert.equal(answer.response_metadata.finish_reason, "tool_calls");
      assert.deepEqual(answer.invalid_tool_calls, []);
      for (const call of answer.tool_calls) messages.push(await own.invoke(call));
    }
    assert.deepEqual(calls, [{ city: "Lagos" }]);
    assert.ok(messages[2] instanceof ToolMessage && messages[2].tool_call_id === messages[1].tool_calls[0].id);
    assert.equal(messages.at(-1).content, "It is warm.");

    let all = null;
    for await (const chunk of await model.stream("call")) all = all ? all.concat(chunk) : chunk;
    assert.deepEqual(all.tool_calls.map((c) => [c.name, c.args]), [["weather", { city: "Lagos" }]]);
    assert.ok(all.tool_calls[0].id);
    assert.deepEqual(all.invalid_tool_calls, []);
  });

  test(`${kind}: abort`, async () => {
    await running(0);
    const stop = new AbortController();
    let n = 0;
    await assert.rejects(async () => {
      for await (const chunk of await chat(kind).stream("endless", { signal: stop.signal }))
        if (chunk.content && ++n === 3) stop.abort();
    });
    assert.ok(n >= 3);
    await running(0);
    const second = new AbortController();
    const waits = chat(kind).invoke("endless", { signal: second.signal });
    waits.catch(() => {});
    await running(1);
    second.abort();
    await assert.rejects(waits);
    await running(0);
  });

  test(`${kind}: errors`, async () => {
    await assert.rejects(chat(kind, { temperature: 3 }).invoke("Hi"), (e) => {
      assert.equal(e.status, 400);
      assert.match(e.message, /temperature is 3, 0 to 2 is allowed/);
      return true;
    });
    await assert.rejects(chat("none").invoke("Hi"), { status: 404 });
    let text = "";
    await assert.rejects(async () => {
      for await (const chunk of await chat(kind).stream("boom")) text += chunk.content;
    }, /device is on fire/);
    assert.equal(text, "Hel");
  });
}

test("what is refused for a while is asked again", async () => {
  const free = await occupy();
  const { attempts, fetch } = noting(free);
  const r = await chat("generate", { maxRetries: 5 }, { fetch }).invoke("Hi");
  assert.equal(r.content, HELLO);
  assert.deepEqual(attempts.map((a) => a.status), [503, 200]);
  const refused = noting();
  await assert.rejects(chat("forward", { temperature: 3, maxRetries: 5 }, { fetch: refused.fetch }).invoke("Hi"));
  assert.equal(refused.attempts.length, 1, "what cannot be helped is not asked again");
});

test("several messages, and an answer that goes back as it came", async () => {
  const r = await chat("forward").invoke([new HumanMessage("Hi"), new AIMessage({ content: "Yes?", additional_kwargs: { refusal: null } }),
    new HumanMessage("call")]);
  assert.ok(r.content.includes("weather"), "without tools a call is text");
});

test("completions", async () => {
  const model = new OpenAI({ model: "forward", maxTokens: 50, apiKey: "none", maxRetries: 0, configuration: { baseURL: `${url}/v1` } });
  assert.equal(await model.invoke("Hi"), HELLO);
});

test("the bundled model calls a tool", async () => {
  const get = tool(async () => "rain", { name: "get_weather", description: "Shows the weather of a place",
    schema: z.object({ location: z.string() }) });
  const model = chat(tiny, { temperature: 0 }).bindTools([get]);
  const question = new HumanMessage("Do I need an umbrella in Gaple?");
  const answer = await model.invoke([question]);
  assert.deepEqual(answer.tool_calls.map((c) => [c.name, c.args]), [["get_weather", { location: "Gaple" }]]);
  const last = await model.invoke([question, answer, await get.invoke(answer.tool_calls[0])]);
  assert.match(last.content, /rain/);
});

test("embeddings", async (t) => {
  const model = await embeddingModel();
  if (!model) return t.skip("no model of this server answers /v1/embeddings");
  const e = new OpenAIEmbeddings({ model, apiKey: "none", maxRetries: 0, configuration: { baseURL: `${url}/v1` } });
  const [one, two] = await e.embedDocuments(["Hi", "there"]);
  assert.ok(one.length > 0 && one.length === two.length && one.every(Number.isFinite));
  assert.ok(one.some((x) => x !== 0), "an empty or zero vector: base64 was not understood");
});
