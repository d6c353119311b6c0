"""Scores a model folder on the held-out dialogues with mlx-lm, greedily:
`python evaluate.py [FOLDER]`. Prints what went wrong and a score per kind."""

import collections
import json
import pathlib
import re
import sys

import mlx.core as mx
from mlx_lm import load
from mlx_lm.generate import generate_step

HERE = pathlib.Path(__file__).parent
HELD_OUT = HERE.parents[1] / "tests/fixtures/ember/held_out.json"


def answer(model, tokenizer, messages, tools=None, limit=400):
    prompt = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True)
    ids = []
    for token, _ in generate_step(mx.array(prompt), model, max_tokens=limit):
        if token in tokenizer.eos_token_ids:
            break
        ids.append(int(token))
    return tokenizer.decode(ids)


def right(text, expect):
    if "tool_call" in expect:
        found = re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", text.strip(), re.S)
        try:
            return bool(found) and json.loads(found[1]) == expect["tool_call"]
        except ValueError:
            return False
    return all(part in text for part in expect["contains"])


def main():
    mx.set_default_device(mx.cpu)
    model, tokenizer = load(sys.argv[1] if len(sys.argv) > 1 else str(HERE))
    rows = json.loads(HELD_OUT.read_text(encoding="utf-8"))
    total, good = collections.Counter(), collections.Counter()
    for row in rows:
        text = answer(model, tokenizer, row["messages"], row.get("tools"))
        total[row["kind"]] += 1
        if right(text, row["expect"]):
            good[row["kind"]] += 1
        else:
            print(f"{row['kind']}: {row['messages'][-1]['content']!r} -> {text!r}, wanted {row['expect']}")
    for kind in total:
        print(f"{kind:12} {good[kind]:3} of {total[kind]}")
    print(f"{'all':12} {good.total():3} of {total.total()}")


if __name__ == "__main__":
    main()
