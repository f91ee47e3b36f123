#!/usr/bin/env python3
"""Compare the template interpreter with Jinja2, set up as transformers does.

  tmpl_diff.py DRIVER [--seed N] [--n N] [--keep-going]   random templates through both
  tmpl_diff.py --make FILE.json                           fill in "expected" or "error" of test vectors

Exit status 77 (skipped) when Jinja2 is not installed. A difference prints the template and both results.
What must agree: the text, or that there is an error; not the words of an error.
"""
import argparse
import json
import random
import subprocess
import sys
from datetime import datetime

try:
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    print("skipped: Jinja2 is not installed")
    sys.exit(77)

NOW = "2026-01-15T10:20:30"


class Generation(Extension):
    """The tag that marks an assistant's text: its body in a scope of its own."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime.fromisoformat(NOW).strftime(f)
    return env


ENV = environment()


def reference(case):
    try:
        text = ENV.from_string(case["template"]).render(
            messages=case.get("messages"), tools=case.get("tools"), documents=case.get("documents"),
            **{"add_generation_prompt": False, **case.get("kwargs", {})})
        text.encode()  # a lone surrogate is no text
        return {"text": text}
    except Exception as e:  # whatever Python throws
        return {"error": "%s: %s" % (type(e).__name__, e)}


# --- random templates ---

KWARGS = {
    "s": "Hello, World", "e": "", "u": "straße Ünïcode ΣΑΣ 日本", "n": 7, "z": 0, "neg": -3, "f": 2.5, "t": True, "no": None,
    "words": "  alpha beta\tgamma\n\ndelta  ", "lines": "one\ntwo\r\nthree\n", "q": "it's \"quoted\" <b>&amp;",
    "xs": [3, 1, 2], "ss": ["b", "A", "c", "a"], "mixed": [1, "two", None, 3.0, True, [4], {"k": "v"}],
    "d": {"name": "x", "age": 30, "list": [1, 2], "deep": {"a": {"b": "c"}}, "items": "shadow"},
    "rows": [{"a": 1, "b": "x", "c": None}, {"a": 2, "b": "y"}, {"a": 1, "b": "Z", "c": False}],
    "bos_token": "<s>",
}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi\nthere"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1.0, "y": "é\"\\"}}}]},
    {"role": "tool", "content": "42", "tool_call_id": "c1"},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]},
]
STRS = ["''", "'a'", "'b c'", "\"it's\"", "' x '", "'Hello'", "'\\n'", "'äÖ'", "'1'", "'3.7'", "',', ", "'%s-%d'", "'{}/{}'",
        "'a,b,,c'", "'<&>'", "'ABC def'", "'\\u00e9\\t'", "'0x1f'"]
STRS = [s.rstrip(", ") if s.endswith(", ") else s for s in STRS]
NUMS = ["0", "1", "2", "3", "-1", "10", "2.5", "0.1", "-7", "1e3", "100000", "1.0", "3.14159", "1_000", "0x10", "7"]
NAMES = ["s", "e", "u", "n", "z", "neg", "f", "t", "no", "words", "lines", "q", "xs", "ss", "mixed", "d", "rows", "missing",
         "messages", "tools", "bos_token"]
FILTERS0 = ["trim", "upper", "lower", "title", "capitalize", "length", "list", "first", "last", "string", "int", "float", "abs",
            "round", "sort", "unique", "reverse", "sum", "min", "max", "join", "tojson", "safe", "e", "escape", "items", "dictsort",
            "count", "wordcount", "urlencode", "default", "d", "list|length", "unique|list", "reverse|list", "forceescape"]
FILTERS1 = ["join({s})", "default({x})", "d({x}, true)", "replace({s}, {s})", "replace({s}, {s}, {n})", "indent({n})",
            "indent({n}, true)", "indent(2, first=true, blank=true)", "indent({s})", "round({n})", "round({n}, 'floor')",
            "round(1, 'ceil')", "int({n})", "int(default={n}, base=16)", "float({n})", "center({n})", "truncate({n})",
            "truncate(5, true)", "truncate(5, true, '.')", "truncate(9, false, '..', 0)", "batch(2)|list", "batch(2, {x})|list",
            "slice(2)|list", "slice(3, {x})|list", "map('upper')|list", "map(attribute='a')|list", "map(attribute='c', default=0)|list",
            "map('default', {x})|list", "select|list", "reject|list", "select('string')|list", "select('>', 1)|list",
            "reject('none')|list", "selectattr('c')|list", "selectattr('a', 'equalto', 1)|list", "rejectattr('b', 'in', ['x'])|list",
            "selectattr('c', 'defined')|list", "sort(reverse=true)", "sort(attribute='a')", "sort(case_sensitive=true)",
            "sort(attribute='a,b')", "unique(attribute='a')|list", "groupby('a')", "groupby('b')|list", "min(attribute='a')",
            "max(case_sensitive=true)", "sum(attribute='a')", "sum(start={n})", "dictsort(by='value')", "dictsort(reverse=true)",
            "tojson(indent={n})", "tojson(sort_keys=true)", "tojson(separators=(',', ':'))", "tojson(ensure_ascii=true)",
            "tojson(indent=2, sort_keys=true)", "format({x}, {x})", "trim({s})", "attr('name')", "join(', ', attribute='b')",
            "xmlattr", "filesizeformat", "string|length", "first|string", "map('length')|list", "map('trim')|join"]
METHODS = ["upper()", "lower()", "title()", "capitalize()", "strip()", "lstrip()", "rstrip({s})", "strip({s})", "split()", "split({s})",
           "split({s}, 1)", "split(maxsplit=1)", "rsplit({s}, 1)", "rsplit(None, 1)", "splitlines()", "splitlines(true)",
           "startswith({s})", "endswith(('a', 'd'))", "startswith('e', 1)", "replace({s}, {s})", "replace({s}, {s}, 1)", "find({s})",
           "rfind({s})", "count({s})", "index({s})", "join(['x', 'y'])", "format({x}, {x})", "format(a={x})", "isdigit()", "isalpha()",
           "isupper()", "islower()", "isspace()", "isalnum()", "istitle()", "zfill({n})", "center({n})", "center(9, '*')", "ljust({n})",
           "rjust(8, '.')", "partition({s})", "rpartition(' ')", "removeprefix('He')", "removesuffix('d')", "swapcase()", "casefold()",
           "expandtabs(4)", "items()", "keys()", "values()", "get('name')", "get('nope', {x})", "get('age', 1)", "copy()", "append(1)",
           "update({{}})", "pop()", "items", "name", "deep.a.b", "list", "keys()|list", "values()|list", "items()|list", "index(1)",
           "count(1)", "isidentifier()", "isdecimal()", "encode", "nope", "nope.nope", "__class__"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false", "mapping", "sequence",
         "iterable", "odd", "even", "divisibleby 2", "divisibleby(3)", "callable", "upper", "lower", "in [1, 2, 'a']", "eq {x}",
         "ne({x})", "gt 1", "lessthan(3)", "sameas true", "sameas none", "filter", "test", "escaped", "==1", "equalto 'a'"]
OPS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">", "<=", ">=", "and", "or", "in", "not in", "~", "+", "+"]
FORMATS = ["'%s'", "'%d'", "'%5d|'", "'%-5d|'", "'%05d'", "'%+d'", "'%.2f'", "'%8.3f'", "'%x'", "'%#x'", "'%r'", "'%5s|'", "'%-5s|'",
           "'%.2s'", "'%e'", "'%g'", "'%%'", "'%c'", "'%s and %s'", "'%i%%'", "'%o'"]
BRACES = ["'{}'", "'{0}{1}'", "'{:>6}'", "'{:<6}|'", "'{:^7}|'", "'{:*^9}'", "'{:05d}'", "'{:,}'", "'{:.2f}'", "'{:.3}'", "'{:x}'",
          "'{:#b}'", "'{!r}'", "'{a}'", "'{0[0]}'", "'{:+}'", "'{:e}'", "'{:%}'", "'{{}}'", "'{:g}'", "'{:_}'", "'{:>{1}}'", "'{:=+8.2f}'"]


class Maker:
    def __init__(self, rnd):
        self.r = rnd
        self.vars = []

    def pick(self, xs):
        return xs[self.r.randrange(len(xs))]

    def fill(self, text, d):
        out = text
        while "{s}" in out:
            out = out.replace("{s}", self.pick(STRS), 1)
        while "{n}" in out:
            out = out.replace("{n}", self.pick(["0", "1", "2", "3", "5", "8", "-1"]), 1)
        while "{x}" in out:
            out = out.replace("{x}", self.expr(d + 1), 1)
        return out.replace("{{}}", "{}")

    def atom(self):
        k = self.r.randrange(10)
        if k < 4:
            return self.pick(NAMES + self.vars)
        if k < 6:
            return self.pick(STRS)
        if k < 8:
            return self.pick(NUMS)
        return self.pick(["true", "false", "none", "[]", "{}", "()", "[1, 2, 3]", "('a', 'b')", "{'k': 1, 'j': [2]}", "range(3)",
                          "range(1, 9, 3)", "range(5, 0, -2)", "dict(a=1)", "messages[0]", "rows[1]", "(1,)", "namespace(a=1)",
                          "messages[2].tool_calls[0].function", "[none, true, 1.5]", "joiner('; ')()", "strftime_now('%d %b %Y')"])

    def expr(self, d=0):
        if d > 3:
            return self.atom()
        k = self.r.randrange(24)
        x = lambda: self.expr(d + 1)
        if k < 5:
            return self.atom()
        if k < 8:
            return "%s|%s" % (self.post(d), self.pick(FILTERS0))
        if k < 11:
            return "%s|%s" % (self.post(d), self.fill(self.pick(FILTERS1), d))
        if k < 14:
            return "%s.%s" % (self.pick(NAMES + ["'a b c'", "'Hello'", "d", "s", "words", "u", "xs"]), self.fill(self.pick(METHODS), d))
        if k < 17:
            return "%s %s %s" % (x(), self.pick(OPS), x())
        if k == 17:
            return "(%s)" % x()
        if k == 18:
            return "%s is %s%s" % (self.post(d), self.pick(["", "", "not "]), self.fill(self.pick(TESTS), d))
        if k == 19:
            return "(%s if %s%s)" % (x(), x(), " else " + x() if self.r.random() < .8 else "")
        if k == 20:
            i = lambda: self.pick(["", "0", "1", "2", "-1", "-2", "5", "neg"])
            sl = i() + ":" + i() + (":" + self.pick(["", "1", "2", "-1", "-2"]) if self.r.random() < .4 else "")
            return "%s[%s]" % (self.pick(["s", "u", "xs", "ss", "mixed", "messages", "words", "range(9)", "e", "d"]),
                               sl if self.r.random() < .7 else x())
        if k == 21:
            return self.pick(["not ", "-", "+", "not not "]) + x()
        if k == 22:
            if self.r.random() < .5:
                return "%s %% (%s, %s)" % (self.pick(FORMATS), x(), x()) if self.r.random() < .3 else "%s %% %s" % (
                    self.pick(FORMATS), self.atom())
            return "%s.format(%s, %s)" % (self.pick(BRACES), x(), self.pick(["a=1", "7", "'z'"]))
        return self.pick(["[%s, %s]", "(%s, %s)", "{'a': %s, 'b': %s}", "%s < %s < 5"]) % (x(), x())

    def post(self, d):
        return "(%s)" % self.expr(d + 1) if self.r.random() < .35 else self.atom()

    def tag(self, body):
        return "{%" + self.pick(["", "", "-", "+"]) + " " + body + " " + self.pick(["", "", "-", "+"]) + "%}"

    def text(self):
        return self.pick(["", " ", "\n", "x", " y ", "\n  ", "  \n\n", "\t", "text\n", "| ", "{# c #}", "{#- c -#}\n", " {# c #}\n",
                          "\n\n  z", "{% raw %} {{ x }} {% endraw %}"])

    def out(self, d):
        return "{{" + self.pick(["", "", "-"]) + " " + self.expr(d) + " " + self.pick(["", "", "-"]) + "}}"

    def block(self, d, loop=False):
        parts = []
        for _ in range(self.r.randrange(1, 4)):
            parts.append(self.text())
            parts.append(self.statement(d, loop))
        parts.append(self.text())
        return "".join(parts)

    def statement(self, d, loop):
        k = self.r.randrange(20)
        if d > 2 or k < 8:
            return self.out(1)
        b = lambda l=loop: self.block(d + 1, l)
        if k < 10:
            return self.tag("if " + self.expr(1)) + b() + (
                self.tag("elif " + self.expr(2)) + b() if self.r.random() < .3 else "") + (
                self.tag("else") + b() if self.r.random() < .5 else "") + self.tag("endif")
        if k < 14:
            it = self.pick(["xs", "ss", "rows", "messages", "range(4)", "d", "d.items()", "s[:3]", "mixed", "missing", "rows|map(attribute='a')",
                            "ss|sort", "xs|select('>', 1)", self.expr(2)])
            tgt = self.pick(["x", "x", "x", "k, v"]) if "items" in it or self.r.random() < .1 else "x"
            cond = " if " + self.pick(["x", "x != 1", "x is string", "not x", "x is defined", self.expr(2)]) if self.r.random() < .25 else ""
            old = list(self.vars)
            self.vars += ["x", "loop.index", "loop.last", "loop.first", "loop.revindex", "loop.length", "loop.index0", "loop.previtem",
                          "loop.nextitem", "loop.cycle('a', 'b')", "loop.changed(x)", "loop.depth"]
            body = self.block(d + 1, True)
            if self.r.random() < .2:
                body += self.tag("if " + self.pick(["loop.index == 2", "x == 1", "loop.first"])) + self.tag(
                    self.pick(["break", "continue"])) + self.tag("endif") + self.text()
            self.vars = old
            return self.tag("for %s in %s%s" % (tgt, it, cond)) + body + (
                self.tag("else") + self.block(d + 1, loop) if self.r.random() < .3 else "") + self.tag("endfor")
        if k < 16:
            name = self.pick(["v1", "v2", "ns.a"])
            if name == "ns.a":
                return self.tag("set ns = namespace(a=%s)" % self.expr(2)) + self.tag("set ns.a = " + self.expr(2)) + "{{ ns.a }}"
            st = self.tag("set %s = %s" % (name, self.expr(1)))
            self.vars.append(name)
            return st
        if k == 16:
            st = self.tag("set w1" + self.pick(["", " | upper", " | trim | length"])) + self.block(d + 1) + self.tag("endset") + "{{ w1 }}"
            return st
        if k == 17:
            m = "m%d" % self.r.randrange(1000)
            old = list(self.vars)
            self.vars = old + ["p", "q1"]
            body = self.block(d + 1)
            self.vars = old
            call = self.pick(["%s(%s)" % (m, self.expr(2)), "%s(%s, %s)" % (m, self.expr(2), self.expr(2)), "%s(q1=%s)" % (m, self.expr(2)),
                              "%s()" % m])
            st = self.tag("macro %s(p, q1=%s)" % (m, self.expr(2))) + body + self.tag("endmacro")
            if self.r.random() < .3:
                st = self.tag("macro %s(p, q1=1)" % m) + "<{{ caller(%s) }}>" % self.pick(["", "1"]) + self.tag("endmacro")
                return st + self.tag("call%s %s(1)" % (self.pick(["", "(y)"]), m)) + self.block(d + 1) + self.tag("endcall")
            return st + "{{ " + call + " }}"
        if k == 18:
            return self.tag("filter " + self.pick(["upper", "trim", "indent(2)", "replace('a', 'b')|title"])) + self.block(d + 1) + \
                self.tag("endfilter")
        return self.tag("with w2 = %s" % self.expr(2)) + self.block(d + 1) + "{{ w2 }}" + self.tag("endwith")


# Where Python shows an address, or where we are not meant to follow it (see chat/tmpl.h).
SKIP = ["object at 0x", "<bound method", "<built-in method", "<function", "<generator", "dict_itemiterator", "LoopContext",
        "<class ", "memory at", "Markup("]


def comparable(case, want):
    text = want.get("text", "")
    if any(s in text for s in SKIP):
        return False
    err = want.get("error", "")
    if "JSON serializable" in err or "64 bits" in err or "int too large" in err or "Exceeds the limit" in err:
        return False
    return True


def too_big(want):
    """An integer that 64 bits do not hold is an error here and none in Python."""
    run = 0
    for c in want.get("text", ""):
        run = run + 1 if c.isdigit() else 0
        if run >= 19:
            return True
    return False


def compare(args):
    rnd = random.Random(args.seed)
    proc = subprocess.Popen([args.driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    count = same_text = same_error = skipped = bad = 0
    for i in range(args.n):
        m = Maker(random.Random(rnd.randrange(1 << 62)))
        text = m.block(0) if m.r.random() < .3 else "[{{ %s }}]" % m.expr(m.r.randrange(3))
        case = {"template": text, "messages": MESSAGES, "kwargs": KWARGS, "now": NOW}
        want = reference(case)
        proc.stdin.write(json.dumps(case) + "\n")
        proc.stdin.flush()
        line = proc.stdout.readline()
        if not line:
            print("the driver died on", json.dumps(case["template"]))
            return 1
        got = json.loads(line)
        count += 1
        if "text" in want and want == got:
            same_text += 1
        elif "error" in want and "error" in got:
            same_error += 1
        elif not comparable(case, want) or too_big(want) or "64 bits" in got.get("error", "") or "complex" in got.get("error", ""):
            skipped += 1
        else:
            bad += 1
            print("template %s\n  Jinja2 %s\n  ours   %s" % (json.dumps(case["template"]), json.dumps(want)[:600], json.dumps(got)[:600]))
            if not args.keep_going:
                break
    proc.stdin.close()
    proc.wait()
    print("seed %d: %d templates, %d equal texts, %d equal errors, %d not comparable, %d different" %
          (args.seed, count, same_text, same_error, skipped, bad))
    return 1 if bad or proc.returncode else 0


def make(path):
    cases = json.load(open(path, encoding="utf-8"))
    for c in cases:
        c.pop("expected", None)
        c.pop("error", None)
        want = reference(c)
        c["expected" if "text" in want else "error"] = want.get("text", want.get("error"))
    with open(path, "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")
    return 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument("driver", nargs="?")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--n", type=int, default=1500)
    p.add_argument("--keep-going", action="store_true")
    p.add_argument("--make")
    args = p.parse_args()
    return make(args.make) if args.make else compare(args)


if __name__ == "__main__":
    sys.exit(main())
