"""From a Sample to the exact text the chat template makes of it, and to OpenAI messages.

`pieces` is the template in Python, for speed; `python3 chat.py` checks the two against each other.
"""
import json

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tools>", "</tools>",
            "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
CONTROL = SPECIALS[:3]       # the rest may appear in an answer and is shown


def call_text(name, args):
    return ('<tool_call>\n{"name": "%s", "arguments": %s}\n</tool_call>'
            % (name, json.dumps(args, ensure_ascii=False)))


def tool_line(tool):
    name, desc, args = tool
    return "%s(%s)%s\n" % (name, ", ".join(f"{a}{'' if need else '?'}: {t}" for a, t, need in args),
                           ": " + desc if desc else "")


def pieces(s, thinking=False, answer=True):
    """[(text, learn)]: the conversation in order; learn is True for what the assistant writes.

    Without `answer` it ends where the last answer would begin.
    """
    out = []
    if s.system is not None or s.tools:
        t = "<|im_start|>system\n" + (s.system or "")
        if s.tools:
            t += ("\n" if s.system is not None else "") + "<tools>\n" + "".join(map(tool_line, s.tools)) + "</tools>"
        out.append((t + "<|im_end|>\n", False))
    for i, m in enumerate(s.msgs):
        last = i == len(s.msgs) - 1
        if m["role"] == "tool":
            out.append(("<|im_start|>user\n<tool_response>\n" + m["content"] + "\n</tool_response><|im_end|>\n", False))
        elif m["role"] == "assistant":
            out.append(("<|im_start|>assistant\n", False))
            if last and thinking:
                out.append(("<think>\n", False))
            if last and not answer:
                return out
            think = f"{s.think}\n</think>\n\n" if last and thinking else ""
            body = m["content"] + "\n".join(call_text(n, a) for n, a in m.get("calls", ()))
            out.append((think + body + "<|im_end|>", True))
            out.append(("\n", False))
        else:
            out.append(("<|im_start|>user\n" + m["content"] + "<|im_end|>\n", False))
    return out


def request(s):
    """(messages, tools) as an OpenAI client sends them, up to the question."""
    msgs = [{"role": "system", "content": s.system}] if s.system is not None else []
    for i, m in enumerate(s.msgs[:-1]):
        o = {"role": m["role"], "content": m["content"]}
        if m.get("calls"):
            o["tool_calls"] = [{"id": f"call_{i}_{j}", "type": "function",
                                "function": {"name": n, "arguments": json.dumps(a, ensure_ascii=False)}}
                               for j, (n, a) in enumerate(m["calls"])]
        if m["role"] == "tool":
            o["tool_call_id"] = f"call_{i - 1}_0"
        msgs.append(o)
    tools = [{"type": "function", "function": {
        "name": n, **({"description": d} if d else {}),
        "parameters": {"type": "object", "properties": {a: {"type": t} for a, t, _ in args},
                       "required": [a for a, _, need in args if need]}}} for n, d, args in s.tools]
    return msgs, tools


def main():
    import os
    import jinja2
    from text import mix
    from text.grammar import Random
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda v: json.dumps(v, ensure_ascii=False)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "template.jinja")) as f:
        t = env.from_string(f.read())
    r = Random(3)
    for i in range(5000):
        s = mix.conversation(r)
        msgs, tools = request(s)
        think = i % 2 == 1
        want = t.render(messages=msgs, tools=tools or None, add_generation_prompt=True,
                        **({"enable_thinking": True} if think else {}))
        got = "".join(p for p, _ in pieces(s, think, answer=False))
        if want != got:
            raise SystemExit(f"template and pieces differ:\n{want!r}\n{got!r}")
    print("template and pieces agree on 5000 conversations")


if __name__ == "__main__":
    main()
