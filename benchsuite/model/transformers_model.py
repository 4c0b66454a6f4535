"""Our GPT as a transformers model, for every spec, so that whatever loads an AutoModelForCausalLM can load ours.

Importing this module registers both classes with transformers' Auto classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutput

from benchsuite.errors import UserError
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec

UNBOUNDED = 2048  # the length that evaluation harnesses assume for a model that names none


class BenchsuiteConfig(PretrainedConfig):
    """The spec of a model as a transformers configuration."""

    model_type = "benchsuite"
    attribute_map = {  # noqa: RUF012 (a class attribute of transformers' base)
        "hidden_size": "width",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "vocab_size": "vocab",
    }

    def __init__(self, spec: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.spec = spec or ModelSpec(layers=1, width=8, heads=1, vocab=8, seq=8).to_json()
        for name in ("layers", "width", "heads", "vocab"):
            setattr(self, name, self.spec[name])
        kwargs.setdefault("tie_word_embeddings", self.spec["tied"])
        kwargs.setdefault("bos_token_id", 0)
        kwargs.setdefault("eos_token_id", 0)
        super().__init__(**kwargs)

    @property
    def model_spec(self) -> ModelSpec:
        return ModelSpec.from_json(self.spec)


class BenchsuiteForCausalLM(PreTrainedModel, GenerationMixin):
    """A GPT behind transformers' interface. It keeps no cache of keys and values: generation recomputes its prefix."""

    config_class = BenchsuiteConfig
    base_model_prefix = "gpt"
    _tied_weights_keys = {"gpt.unembedding.weight": "gpt.embedding.weight"}  # noqa: RUF012

    def __init__(self, config: BenchsuiteConfig) -> None:
        super().__init__(config)
        self.gpt = GPT(config.model_spec)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: a GPT begins with weights of its own, and no file lacks any."""

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.gpt.embedding

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.gpt.unembedding

    def prepare_inputs_for_generation(self, input_ids: Tensor, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {"input_ids": input_ids, "attention_mask": kwargs.get("attention_mask")}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutput:
        """Logits (B, T, vocab) for input_ids (B, T). attention_mask (B, T): 0 where padding, on either side.

        labels (B, T): as transformers has it, the input itself with -100 where nothing is to be predicted.
        """
        mask = None
        if attention_mask is not None and not bool(attention_mask.all()):
            T = input_ids.shape[1]
            seen = attention_mask.bool()[:, None, None, :]
            mask = torch.ones(T, T, dtype=torch.bool, device=input_ids.device).tril() & seen
            mask = mask | torch.eye(T, dtype=torch.bool, device=input_ids.device)  # padding sees itself, or it is NaN
            if position_ids is None:
                position_ids = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
        logits = self.gpt(input_ids, position_ids, mask)
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits)


def wrap(model: GPT) -> BenchsuiteForCausalLM:
    """`model` behind transformers' interface, sharing its weights. Raises UserError for one that is not causal: the
    interface does not say which tokens are given."""
    if model.spec.architecture != "causal":
        raise UserError(
            f"a model of architecture {model.spec.architecture!r} does not fit transformers' interface of causal models"
        )
    config = BenchsuiteConfig(
        spec=model.spec.to_json(),
        # for whoever asks how long an input may be; a scheme without a limit runs beyond it as well
        max_position_embeddings=model.max_length or max(UNBOUNDED, model.spec.seq),
    )
    wrapped = BenchsuiteForCausalLM(config)
    wrapped.gpt = model
    wrapped.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=0, use_cache=False)
    return wrapped.eval()


AutoConfig.register("benchsuite", BenchsuiteConfig, exist_ok=True)
AutoModelForCausalLM.register(BenchsuiteConfig, BenchsuiteForCausalLM, exist_ok=True)
