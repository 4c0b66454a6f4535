"""Token ids of (context, continuation) pairs, exactly as lm-eval's `TemplateLM` encodes them, each text encoded once.

lm-eval encodes the context and the whole, and takes for the continuation what the whole has beyond the context. A
document with four choices so encodes its context eight times. A byte-level BPE splits its input at a single space
between two words before anything else, so that there the two sides can be encoded apart and give the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of `texts`, without special tokens added."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def encode_pairs(
    tokenizer: Tokenizer, pairs: Iterable[tuple[str, str]], *, prefix: int, apart: bool
) -> list[tuple[list[int], list[int]]]:
    """(context ids, continuation ids) of each (context, continuation).

    Spaces at the end of the context move to the continuation. An empty context becomes the token `prefix`, or the
    continuation's first token where that is `prefix`. `apart`: whether `splits_at_spaces` holds for the tokenizer.
    """
    split = []
    for context, continuation in pairs:
        stem = context.rstrip()
        split.append((stem, context[len(stem) :] + continuation))
    separable = [apart and bool(stem) and _one_space_first(rest) for stem, rest in split]
    wanted = []
    for (stem, rest), separate in zip(split, separable, strict=True):
        wanted += [stem, rest if separate else stem + rest]
    texts = list(dict.fromkeys(wanted))
    ids = dict(zip(texts, encode(tokenizer, texts), strict=True))
    encoded = []
    for (stem, rest), separate in zip(split, separable, strict=True):
        if separate:
            encoded.append((ids[stem], ids[rest]))
        elif stem:
            encoded.append((ids[stem], ids[stem + rest][len(ids[stem]) :]))
        elif ids[rest][:1] == [prefix]:
            encoded.append((ids[rest][:1], ids[rest][1:]))
        else:
            encoded.append(([prefix], ids[rest]))
    return encoded


def splits_at_spaces(tokenizer: Tokenizer) -> bool:
    """Return whether the tokenizer always splits between a word and a single space before the next word.

    True for the byte-level BPE of GPT-2 and nothing around it: its pattern takes a space only as the first character of
    a word (or in a run of spaces), and looks ahead only behind spaces. Anything unknown counts as no.
    """
    state = json.loads(tokenizer.to_str())
    before = state["pre_tokenizer"] or {}
    return (
        state["normalizer"] is None
        and before.get("type") == "ByteLevel"
        and before.get("use_regex") is True
        and before.get("add_prefix_space") is False
        and (state["post_processor"] or {}).get("type") in (None, "ByteLevel")
        and state["truncation"] is None
        and state["padding"] is None
        and state["model"].get("type") == "BPE"
        and not state["model"].get("dropout")
        and all(_plain(token) for token in state["added_tokens"])
    )


def _plain(token: dict[str, object]) -> bool:
    """Return whether an added token cannot reach over a space."""
    content = str(token["content"])
    return not (token["lstrip"] or token["rstrip"] or token["single_word"] or any(c.isspace() for c in content))


def _one_space_first(rest: str) -> bool:
    return len(rest) > 1 and rest[0] == " " and not rest[1].isspace()
