// openapi.test.mjs - the API's description is valid OpenAPI, and every reply of the .case files is as it says.
import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv from "ajv/dist/2020.js";

const url = process.env.CURLEW_URL;
const doc = await (await fetch(`${url}/openapi.json`)).json();
const replies = fs.readFileSync(process.env.CURLEW_KEEP, "utf8").trim().split("\n").map((line) => JSON.parse(line));

const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema(doc, "doc");
const compiled = new Map();
function check(ref, value, where) {
  if (!compiled.has(ref)) compiled.set(ref, ajv.compile({ $ref: `doc${ref}` }));
  const ok = compiled.get(ref);
  assert.ok(ok(value), `${where}\nis no ${ref}: ${ajv.errorsText(ok.errors)}\n${JSON.stringify(value).slice(0, 600)}`);
}

function operation(method, path) {
  const plain = path.split("?")[0];
  for (const [pattern, methods] of Object.entries(doc.paths)) {
    const re = new RegExp("^" + pattern.replace(/[.]/g, "\\.").replace("{name}", ".+") + "$");
    if (re.test(plain)) return methods[method.toLowerCase()];
  }
  return undefined;
}

test("the document is valid OpenAPI 3.1", async () => {
  const result = await new Validator().validate(structuredClone(doc));
  assert.ok(result.valid, JSON.stringify(result.errors));
  assert.equal(doc.openapi, "3.1.1");
  const ids = Object.values(doc.paths).flatMap((p) => Object.values(p).map((o) => o.operationId));
  assert.equal(new Set(ids).size, ids.length, "operation ids are unique");
});

test("its schemas compile, and their defaults are valid", () => {
  for (const [name, schema] of Object.entries(doc.components.schemas)) {
    ajv.compile({ $ref: `doc#/components/schemas/${name}` });
    for (const [field, s] of Object.entries(schema.properties ?? {})) {
      if (s.default === undefined) continue;
      const ok = ajv.compile({ $ref: `doc#/components/schemas/${name}/properties/${field}` });
      assert.ok(ok(s.default), `${name}.${field}: default ${s.default}`);
    }
  }
});

test("each field says what becomes of it", () => {
  for (const name of ["ChatRequest", "CompletionRequest", "InfillRequest"])
    for (const [field, s] of Object.entries(doc.components.schemas[name].properties))
      assert.match(s["x-curlew-policy"], /^(obeyed|ignored|refused)$/, `${name}.${field}`);
});

test("every reply of the cases is as described", () => {
  let errors = 0, wholes = 0, events = 0;
  for (const r of replies) {
    const where = `${r.method} ${r.path} ${r.request}: ${r.status}`;
    if (!r.reply || !r.type) continue;
    if (r.status >= 400) {
      check("#/components/schemas/Error", JSON.parse(r.reply), where);
      errors++;
      continue;
    }
    const op = operation(r.method, r.path);
    assert.ok(op, `${where}: not described`);
    const content = op.responses["200"].content;
    const type = r.type.split(";")[0];
    assert.ok(content[type], `${where}: ${type} is not described`);
    const ref = content[type].schema?.$ref;
    if (!ref) continue;
    if (type === "application/json") {
      check(ref, JSON.parse(r.reply), where);
      wholes++;
    } else {
      for (const line of r.reply.split("\n")) {
        if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
        const event = JSON.parse(line.slice(6));
        check(event.error ? "#/components/schemas/Error" : ref, event, where);
        events++;
      }
    }
  }
  assert.ok(errors > 30 && wholes > 30 && events > 20, `${errors} errors, ${wholes} objects, ${events} events`);
});

test("requests that were answered are valid, and ranges are those that are checked", () => {
  let valid = 0, refused = 0;
  for (const r of replies) {
    const ref = operation(r.method, r.path)?.requestBody?.content["application/json"].schema.$ref;
    let body;
    try {
      body = JSON.parse(r.request);
    } catch {
      continue;
    }
    if (!ref || body === null) continue;
    if (r.status === 200) {
      check(ref, body, `${r.method} ${r.path}`);
      valid++;
    } else if (/ is allowed|must be (a|an) /.test(r.reply) && r.status === 400) { // a range or a type
      check("#/components/schemas/Error", JSON.parse(r.reply), r.reply);
      assert.ok(!compiled.get(ref)?.(body), `${r.request} is refused but valid: ${r.reply}`);
      refused++;
    }
  }
  assert.ok(valid > 30 && refused > 20, `${valid} valid, ${refused} refused`);
});
