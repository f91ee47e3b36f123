#!/usr/bin/env python3
"""form_walk.py - random answers of the bundled model, held to schemas, judged by another implementation.

At a high temperature the model's choice is all but random among what the mask allows: a walk through the
grammar. Each answer that ended by itself must be valid by python-jsonschema (skipped when that is not
installed). Schemas: a few here, and those from the world that lie among the shared material, if it is there."""

import json
import os
import sys

from serve import SKIPPED, Server, is_sanitized, run_all

try:
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed", file=sys.stderr)
    sys.exit(SKIPPED)

TINY = os.path.join(os.path.dirname(__file__), "..", "..", "models", "curlew-tiny", "curlew-tiny.gguf")
SCHEMAS = [
    {"type": "object", "properties": {"name": {"type": "string", "minLength": 2, "maxLength": 9}, "age": {"type": "integer", "minimum": 18, "maximum": 130},
                                      "score": {"type": "number", "exclusiveMinimum": -1.25, "maximum": 99.5}}, "required": ["name", "score"]},
    {"type": "array", "prefixItems": [{"type": "boolean"}, {"enum": ["a", 1, None]}], "items": {"type": "number", "maximum": 0.75},
     "minItems": 2, "maxItems": 5},
    {"$defs": {"n": {"type": "object", "properties": {"v": {"type": ["integer", "null"]}, "k": {"type": "array", "items": {"$ref": "#/$defs/n"}, "maxItems": 2}},
                     "required": ["v"], "additionalProperties": False}}, "$ref": "#/$defs/n"},
    {"type": "object", "properties": {"id": {"type": "integer"}, "idea": {"type": "boolean"}}, "additionalProperties": {"type": "string", "maxLength": 5}},
    {"anyOf": [{"type": "object", "properties": {"kind": {"const": "x"}, "n": {"type": "integer", "maximum": -3}}, "required": ["kind", "n"]},
               {"type": "object", "properties": {"kind": {"const": "y"}, "s": {"type": "string", "pattern": "^[A-Z][a-z]{1,4}$"}}, "required": ["kind", "s"]}]},
    {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}},
    {"allOf": [{"type": "object", "properties": {"p": {"type": "number", "minimum": 2}}, "required": ["p"]}, {"properties": {"p": {"maximum": 2.5}, "q": {"format": "date"}}}]},
    {"type": "object", "patternProperties": {"^x-[a-z]+$": {"type": "integer"}}, "additionalProperties": False, "minProperties": 1},
]


def world():
    here = os.path.join(os.environ.get("CURLEW_SHARED", "nowhere"), "json-schema", "real-world")
    for name in sorted(os.listdir(here)) if os.path.isdir(here) else []:
        with open(os.path.join(here, name), encoding="utf-8") as f:
            yield json.load(f)["schema"]


def kind_of(schema):
    for cls in jsonschema.Draft202012Validator, jsonschema.Draft7Validator, jsonschema.Draft4Validator:
        if schema.get("$schema", "").rstrip("#") == cls.META_SCHEMA.get("$schema", cls.META_SCHEMA.get("$id", "")).rstrip("#"):
            return cls
    return jsonschema.Draft202012Validator if "prefixItems" in json.dumps(schema) else jsonschema.Draft7Validator


def test_walks():
    ended = cut = refused = 0
    with Server("--model", TINY, "--alias", "m") as server:
        n = 4 if is_sanitized() else 12
        for schema, seeds in [(s, n) for s in SCHEMAS] + [(s, 1) for s in world() if not is_sanitized()]:
            for seed in range(seeds):
                reply = server.request("POST", "/v1/completions", json.dumps({
                    "model": "m", "prompt": "JSON: ", "guided_json": schema, "temperature": 1.6, "seed": seed, "max_tokens": 600}).encode())
                if reply.status == 400:
                    assert seeds == 1 and reply.json()["error"]["code"] == "invalid_schema", reply.body
                    refused += 1
                    break
                assert reply.status == 200, reply.body
                one = reply.json()["choices"][0]
                if one["finish_reason"] != "stop":
                    cut += 1
                    continue
                ended += 1
                value = json.loads(one["text"])
                check = kind_of(schema)(schema, format_checker=jsonschema.FormatChecker())
                try:
                    errors = [e.message for e in check.iter_errors(value)]
                except jsonschema.exceptions.RefResolutionError:
                    break  # an `id` inside the schema makes it look elsewhere
                assert not errors, (schema, one["text"], errors[0])
    print(f"{ended} answers valid, {cut} cut at their length, {refused} schemas refused")
    assert ended >= n * 5, (ended, cut)  # of n * 8 of our own


if __name__ == "__main__":
    run_all(dict(globals()))
