// common.mjs - what the clients' tests share: the server's models and what its scripts say (run.py).
import assert from "node:assert/strict";

export const url = process.env.CURLEW_URL;
export const tiny = process.env.CURLEW_TINY; // the bundled model
export const kinds = ["forward", "generate"]; // scripted engines of both kinds
export const HELLO = "Hello there, €!";
export const says = (content) => [{ role: "user", content }];

/** Until so many requests run in the server: zero after an abort means that it was heard. */
export async function running(n) {
  const end = Date.now() + 20000;
  for (;;) {
    const health = await (await fetch(`${url}/health`)).json();
    if (health.running === n) return;
    assert.ok(Date.now() < end, `${health.running} requests run, not ${n}`);
    await new Promise((r) => setTimeout(r, 5));
  }
}

/** Keep the only place of the model "generate" busy; call the result to free it. */
export async function occupy() {
  await running(0);
  const stop = new AbortController();
  const reply = await fetch(`${url}/v1/chat/completions`, {
    method: "POST", signal: stop.signal, headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "generate", messages: says("endless"), stream: true }),
  });
  assert.equal(reply.status, 200);
  return () => stop.abort();
}

/** A fetch that notes each attempt's status and retry-after, and calls `after` once one was refused. */
export function noting(after) {
  const attempts = [];
  const noted = async (input, init) => {
    const reply = await fetch(input, init);
    attempts.push({ status: reply.status, retryAfter: reply.headers.get("retry-after") });
    if (reply.status >= 400) after?.();
    return reply;
  };
  return { attempts, fetch: noted };
}

/** Does the server have embeddings? Their tests wait until it does. */
export async function embeddingModel() {
  const models = (await (await fetch(`${url}/v1/models`)).json()).data.map((m) => m.id);
  for (const model of models) {
    const reply = await fetch(`${url}/v1/embeddings`, {
      method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, input: "x" }),
    });
    if (reply.ok) return model;
  }
  return null;
}
