"""Our models as an lm-eval `LM`: what HFLM answers, in a fraction of its time.

    lm_eval.simple_evaluate(model=BenchsuiteLM(model, tokenizer), tasks=[...])

Importing this module registers the model with lm-eval as `benchsuite`; `python -m benchsuite.zeroshot` is lm-eval's own
command line with it: `--model benchsuite --model_args pretrained=FOLDER --tasks ...`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tokenizers import Tokenizer

from benchsuite import devices
from benchsuite.errors import UserError
from benchsuite.model import checkpoint
from benchsuite.model.gpt import GPT
from benchsuite.zeroshot.encoding import encode, encode_pairs, splits_at_spaces
from benchsuite.zeroshot.scoring import Pair, loglikelihoods, truncate

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

END_OF_TEXT = "<|endoftext|>"
MAX_NEW_TOKENS = 256  # as HFLM, where a request does not say


@register_model("benchsuite")
class BenchsuiteLM(TemplateLM):
    """An lm-eval model around a GPT and its tokenizer; works on the device that the model is on, in evaluation mode.

    pretrained: a GPT, or the folder of a saved one. `batch_tokens` bounds the tokens, padding included, of one forward
    pass; it moves memory and speed, never a result. `window` is the number of tokens that `loglikelihood_rolling`
    gives to the model at once, the training length if not given. `batch_size` and `max_batch_size` are what lm-eval's
    command line always passes; batches are bounded in tokens here, so they are not used.
    Raises UserError for a folder without a model and a tokenizer without an end-of-text token.
    """

    def __init__(
        self,
        pretrained: GPT | str | Path,
        tokenizer: Tokenizer | None = None,
        *,
        batch_tokens: int | None = None,
        window: int | None = None,
        device: str | None = None,
        progress: Callable[[float], None] | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if isinstance(pretrained, GPT):
            if tokenizer is None:
                raise UserError("a model in memory needs its tokenizer beside it", hint="pass tokenizer=...")
            self.model = pretrained.eval()
        else:
            self.model, saved = checkpoint.load(pretrained)
            tokenizer = tokenizer or saved
        if device is not None:
            self.model.to(device)
        self._device = self.model.embedding.weight.device
        end = tokenizer.token_to_id(END_OF_TEXT)
        if end is None:
            raise UserError(
                f"the tokenizer has no {END_OF_TEXT} token", hint="train it with benchsuite.pretrain.tokenizer"
            )
        self.tokenizer = tokenizer
        self._end_of_text: int = end
        self._apart = splits_at_spaces(tokenizer)
        self.batch_tokens = batch_tokens or devices.named(str(self._device)).evaluation_tokens
        self.window = window or self.model.spec.seq
        self.progress = progress

    @property
    def eot_token_id(self) -> int:
        return self._end_of_text

    @property
    def max_length(self) -> int | None:
        """The longest input in tokens, None for any."""
        return self.model.max_length

    @property
    def _gap(self) -> tuple[int, ...]:
        """Return what a context ends with for a model that fills gaps: the gap's mark, which its answer begins with
        again."""
        return (self.model.spec.vocab - 1,) if self.model.spec.fills else ()

    @property
    def tokenizer_name(self) -> str:
        return "benchsuite"

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        return self.tokenizer.encode(string, add_special_tokens=bool(add_special_tokens)).ids

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, is greedy) of the continuation of each request's (context, continuation).

        Raises UserError for a continuation that adds no token to its context or is longer than the model's input.
        """
        texts = [request.args for request in requests]
        encoded = encode_pairs(self.tokenizer, texts, prefix=self.prefix_token_id, apart=self._apart)
        answers = self._loglikelihood_tokens([(text, *ids) for text, ids in zip(texts, encoded, strict=True)])
        for text, answer in zip(texts, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood", text, answer)
        return answers

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood in nats of each request's whole text, in windows of `window` tokens."""
        texts = [request.args[0] for request in requests]
        answers = self.rolling(texts)
        for text, answer in zip(texts, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), answer)
        return answers

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """The log-likelihood in nats of each text given the end-of-text token; 0 for an empty text.

        Each token is predicted once. A window's context is the one token before it; the last window, being shorter,
        has as much context as fills it. Both as in lm-eval's own models. Raises UserError for a model that fills gaps.
        """
        if self.model.spec.fills:
            raise UserError("a model that fills gaps predicts no running text", hint="score choices with it instead")
        owners: list[int] = []
        windows: list[tuple[None, list[int], list[int]]] = []
        for owner, tokens in enumerate(encode(self.tokenizer, texts)):
            rolled = get_rolling_token_windows(
                token_list=tokens, prefix_token=self.prefix_token_id, max_seq_len=self.window, context_len=1
            )
            for context, continuation in map(make_disjoint_window, rolled):
                owners.append(owner)
                windows.append((None, context, continuation))
        totals = [0.0] * len(texts)
        for owner, (nats, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[owner] += nats
        return totals

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        pairs = []
        for text, context, continuation in requests:
            if not continuation:
                raise UserError(
                    f"a continuation adds no token to its context: {text!r}",
                    hint="put the space between the two at the start of the continuation",
                )
            try:
                pairs.append(truncate(Pair((*context, *self._gap, *self._gap), tuple(continuation)), self.max_length))
            except ValueError as error:
                raise UserError(str(error), hint="use a model with a longer input, or shorter choices") from error
        return loglikelihoods(self.model, pairs, batch_tokens=self.batch_tokens, progress=self.progress)

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuations, up to a stop sequence, the end-of-text token or the number of tokens asked for.

        Raises UserError where a request asks for sampling or for more tokens than the model's input has.
        """
        contexts = encode(self.tokenizer, [request.args[0] for request in requests])
        jobs = []
        for request, ids in zip(requests, contexts, strict=True):
            wanted = normalize_gen_kwargs(request.args[1], MAX_NEW_TOKENS)
            if wanted.get("do_sample"):
                raise UserError("this model generates greedily only", hint="set do_sample: false in the task")
            stops = handle_stop_sequences(wanted.get("until"), eos=END_OF_TEXT)
            new_tokens = wanted["max_gen_toks"]
            if self.max_length is not None:
                if new_tokens >= self.max_length:
                    raise UserError(
                        f"{new_tokens} new tokens leave no room for a context in {self.max_length} tokens",
                        hint="set a smaller max_gen_toks in the task",
                    )
                ids = ids[-(self.max_length - new_tokens - 2 * len(self._gap)) :]
            jobs.append(_Generation([*(ids or [self.prefix_token_id]), *self._gap, *self._gap], stops, new_tokens))
        waiting = sorted(jobs, key=lambda job: -len(job.context))
        while waiting:
            size = max(1, self.batch_tokens // (len(waiting[0].context) + waiting[0].new_tokens))
            self._generate(waiting[:size])
            waiting = waiting[size:]
        texts = [postprocess_generated_text(self._decode(job.generated), job.stops, None) for job in jobs]
        for request, text in zip(requests, texts, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, text)
        return texts

    @torch.inference_mode()
    def _generate(self, jobs: Sequence[_Generation]) -> None:
        """Extend the jobs of one batch to their ends. Rows are padded on the right, where no token looks."""
        live = [job for job in jobs if job.new_tokens > 0]
        while live:
            rows = [torch.tensor(job.context + job.generated) for job in live]
            tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self._device)
            last = torch.tensor([len(row) - 1 for row in rows], device=self._device)
            given = torch.tensor([len(job.context) - len(self._gap) for job in live], device=self._device)
            hidden = self.model.hidden(tokens, prefix=given)[torch.arange(len(live), device=self._device), last]
            for job, token in zip(live, self.model.head(hidden).argmax(dim=-1).tolist(), strict=True):
                job.generated.append(token)
            live = [job for job in live if not self._finished(job)]

    def _finished(self, job: _Generation) -> bool:
        if len(job.generated) >= job.new_tokens or job.generated[-1] == self.eot_token_id:
            return True
        if self._gap and job.generated[-1] == self._gap[0] - 1:  # the mark that ends the gap
            return True
        text = self._decode(job.generated)
        return any(stop in text for stop in job.stops if stop)

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)


class _Generation:
    """One text being generated: its context and what there is so far, in token ids."""

    def __init__(self, context: list[int], stops: list[str], new_tokens: int) -> None:
        self.context = context
        self.stops = stops
        self.new_tokens = new_tokens
        self.generated: list[int] = []
