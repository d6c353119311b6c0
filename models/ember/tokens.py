"""Ember's tokenizer and the encoding of dialogues.

The vocabulary is all 256 bytes plus whole words and punctuation runs that the
dialogues use again and again. A word outside it falls apart into single bytes,
in the same way wherever it stands, which is what makes copying learnable."""

import collections
import json
import pathlib
import random

import jinja2
import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

import dialogues
import held_out
import words

HERE = pathlib.Path(__file__).parent
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
CHUNK = r"\p{N}|\p{L}+|\n|[^\p{L}\p{N}\n]+"


def make_environment():
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string((HERE / "chat_template.jinja").read_text())


TEMPLATE = make_environment()


def render(messages, tools=None, prompt=False):
    return TEMPLATE.render(messages=messages, tools=tools or None, add_generation_prompt=prompt)


def byte_level():
    split = pre_tokenizers.Split(Regex(CHUNK), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def build(samples=12000, threshold=60):
    """Collect the vocabulary from sample dialogues and the fixed lists."""
    pre = byte_level()
    marks = "|".join(SPECIAL + MARKS).replace("<|", r"<\|").replace("|>", r"\|>")
    split = pre_tokenizers.Split(Regex(marks), "removed")
    rng = random.Random(7)
    seen = collections.Counter()
    for _ in range(samples):
        for text, _ in split.pre_tokenize_str(render(*dialogues.dialogue(rng))):
            seen.update(chunk for chunk, _ in pre.pre_tokenize_str(text))
    kept = {chunk for chunk, times in seen.items() if times >= threshold}
    known = [*words.CAPITALS, *words.CAPITALS.values(), *map(str.lower, words.CAPITALS), *words.COMMON, *words.TOOL_NOUNS, *words.TOOL_ADJECTIVES, *words.ARGUMENT_NOUNS,
             *(verb.replace("_", " ") for verb in words.TOOL_VERBS), *words.NUMBER_WORDS, dialogues.STORY, dialogues.JOKE]
    for text in known:
        kept.update(chunk for chunk, _ in pre.pre_tokenize_str(text))
    # What closes a text must not fuse with a mark that belongs to the text.
    kept = {chunk for chunk in kept if chunk[0] not in ".,!?%-_" or chunk[1:] in ("", "\u0120")}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    whole = sorted(chunk for chunk in kept if len(chunk) > 1)
    clash = {chunk for chunk in {*seen, *whole} if len(chunk) > 2 and chunk.lower() in held_out.WORDS}
    assert not clash, f"held-out words in training: {clash}"
    vocabulary = {token: i for i, token in enumerate(alphabet + whole)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in MARKS])
    return tokenizer


class Encoder:
    """Turns dialogues into token ids with a mark on what the assistant says."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.start, self.end = (tokenizer.token_to_id(t) for t in SPECIAL[1:])
        self.assistant = tokenizer.encode("assistant\n").ids

    def __call__(self, messages, tools):
        ids = np.array(self.tokenizer.encode(render(messages, tools)).ids, np.int32)
        weights = np.zeros(len(ids), np.float32)
        ends = np.flatnonzero(ids == self.end)
        for start in np.flatnonzero(ids == self.start):
            first = start + 1 + len(self.assistant)
            if list(ids[start + 1:first]) == self.assistant:
                weights[first:ends[ends > start][0] + 1] = 1.0
        return ids, weights


def batches(encoder, seed, tokens_per_batch=2048):
    """Endless micro-batches; several dialogues are packed into each row."""
    rng = random.Random(seed)
    waiting = {}
    while True:
        length = rng.choices([128, 256, 512, 1024, 2048], [16, 44, 25, 12, 3])[0]
        shape = (tokens_per_batch // length, length + 1)
        tokens, segments, weights = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        for row in range(shape[0]):
            at, part, misses = 0, 1, 0
            while misses < 6:
                long = length >= 512 and at == 0 and rng.random() < 0.6
                ids, marks = (at == 0 and waiting.pop(length, None)) or encoder(*dialogues.dialogue(rng, long))
                if at + len(ids) > length + 1:
                    misses += 1
                    if len(ids) <= length + 1:
                        waiting[length] = ids, marks
                    continue
                tokens[row, at:at + len(ids)] = ids
                segments[row, at:at + len(ids)] = part
                weights[row, at:at + len(ids)] = marks
                weights[row, at] = 0.0
                at, part = at + len(ids), part + 1
        yield tokens, segments, weights
