"""Our GPT to and from transformers.

    theirs = to_transformers(model)          # GPT2LMHeadModel, BloomForCausalLM or GPTNeoXForCausalLM
    ours = from_transformers(theirs)
    export(model, tokenizer, folder)         # what AutoModelForCausalLM and AutoTokenizer load

Where a spec has a counterpart in transformers the weights move over exactly, which is also the proof that ours computes
what it should. A spec without one is exported as a class of our own (`benchsuite.model.transformers_model`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.llama.modeling_llama import LlamaMLP

from benchsuite.errors import UserError
from benchsuite.model.gpt import GPT, FeedForward
from benchsuite.model.spec import ModelSpec
from benchsuite.model.transformers_model import UNBOUNDED, wrap

END_OF_TEXT = "<|endoftext|>"

ACTIVATIONS = {"gelu": "gelu_new", "relu": "relu", "relu2": "relu2"}  # ours: transformers' name for the same function
SAME_AS_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")  # the tanh form; transformers' "gelu" is the exact one


@dataclass(frozen=True)
class Family:
    """A transformers class: how its weights are called, and how they are laid out.

    `names` maps our modules to theirs, `{i}` standing for the layer. `conv1d`: linear weights are transposed.
    `interleaved`: the packed projection holds q, k, v of one head, then of the next; ours holds all q, all k, all v.
    """

    model: type[PreTrainedModel]
    config: Callable[[ModelSpec, int], Any]
    spec: Callable[[Any], ModelSpec]
    names: dict[str, str]
    conv1d: bool
    interleaved: bool


def family_of(spec: ModelSpec) -> str | None:
    """The transformers family that computes the same as `spec`, None where there is none."""
    if spec.activation not in ACTIVATIONS or spec.architecture != "causal":
        return None
    if spec.position == "alibi":
        return "bloom" if spec.embedding_norm == "on" and spec.activation == "gelu" else None
    if spec.embedding_norm == "on":
        return None
    return {"rotary": "gpt_neox", "learned": "gpt2", "none": "gpt2", "sinusoidal": "gpt2"}.get(spec.position)


def to_transformers(model: GPT) -> PreTrainedModel:
    """The transformers model with the weights of `model`, in evaluation mode.

    The schemes `none` and `sinusoidal` become a GPT-2 whose position table holds zeros or the sines. Models of any
    length get 2048 positions there. Raises UserError where transformers has no class for the spec.
    """
    name = family_of(model.spec)
    if name is None:
        spec = model.spec
        if spec.architecture != "causal":
            raise UserError(f"transformers has no class for our architecture {spec.architecture!r}")
        raise UserError(
            f"transformers has no class for {spec.activation}, {spec.position}, embedding norm {spec.embedding_norm}",
            hint="benchsuite.model.transformers_model.wrap makes a transformers model of any GPT",
        )
    family = FAMILIES[name]
    positions = model.max_length or max(UNBOUNDED, model.spec.seq)
    theirs = family.model(family.config(model.spec, positions))
    state = {
        their_name: _to_theirs(family, our_name, model.state_dict()[our_name], model.spec.heads)
        for our_name, their_name in weight_names(family, model.spec)
    }
    if name == "gpt2" and model.spec.position != "learned":
        zeros = torch.zeros(1, positions, model.spec.width)
        state["transformer.wpe.weight"] = model.position.embed(zeros, torch.arange(positions))[0]
    _load(theirs, state)
    return theirs.eval()


def from_transformers(theirs: PreTrainedModel, implementation: str = "sdpa") -> GPT:
    """Our GPT with the weights of a GPT2LMHeadModel, BloomForCausalLM or GPTNeoXForCausalLM, in evaluation mode.

    Raises UserError for another class and for options that our decoder does not have (an exact GELU, parallel
    residuals, partial rotary embeddings).
    """
    family = FAMILIES.get(theirs.config.model_type)
    if family is None:
        raise UserError(
            f"no GPT can be made of a {type(theirs).__name__}", hint=f"choose from: {', '.join(sorted(FAMILIES))}"
        )
    model = GPT(family.spec(theirs.config), implementation)
    state = theirs.state_dict()
    _load(
        model,
        {
            our_name: _to_ours(family, our_name, state[their_name], model.spec.heads)
            for our_name, their_name in weight_names(family, model.spec)
        },
    )
    return model.eval()


def load_llama_mlp(ffn: FeedForward, mlp: LlamaMLP) -> None:
    """Copy transformers' LlamaMLP (gate_proj, up_proj, down_proj, without biases) into a gated feed-forward block."""
    with torch.no_grad():
        ffn.up.weight.copy_(torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight)))
        ffn.down.weight.copy_(mlp.down_proj.weight)
        ffn.up.bias.zero_()
        ffn.down.bias.zero_()


def export(model: GPT, tokenizer: Tokenizer, folder: Path | str, *, native: bool = True) -> str:
    """Write a folder that transformers' AutoModelForCausalLM and AutoTokenizer load; return the model type in it.

    With `native`, a spec that transformers knows is written in its class and loads without benchsuite. Any
    other is written as type `benchsuite`: it loads where `benchsuite.model.transformers_model` is imported, and with
    `trust_remote_code=True` wherever benchsuite is installed (the code in the folder is one import).
    Raises UserError where the folder cannot be written.
    """
    folder = Path(folder)
    theirs = to_transformers(model) if native and family_of(model.spec) else wrap(model)
    limit = model.max_length or max(UNBOUNDED, model.spec.seq)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        theirs.save_pretrained(folder)
        tokenizer_of(tokenizer, limit).save_pretrained(folder)
        if theirs.config.model_type == "benchsuite":
            _write_remote_code(folder)
    except OSError as error:
        raise UserError(
            f"the model cannot be exported to {folder}: {error.strerror or error}",
            hint="choose a folder that can be written and has space",
        ) from error
    return str(theirs.config.model_type)


def tokenizer_of(tokenizer: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    """`tokenizer` behind transformers' interface, the end-of-text token being its every special token."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )


def weight_names(family: Family, spec: ModelSpec) -> Iterator[tuple[str, str]]:
    """(our name, their name) of every weight that both have."""
    for ours, theirs in family.names.items():
        if ours == "embedding_norm" and spec.embedding_norm == "off":
            continue
        if ours == "position.table" and spec.position != "learned":
            continue
        if ours == "unembedding" and spec.tied:
            continue
        parts = ("weight",) if ours in ("embedding", "unembedding", "position.table") else ("weight", "bias")
        for layer in range(spec.layers) if "{i}" in ours else (0,):
            for part in parts:
                yield f"{ours.format(i=layer)}.{part}", f"{theirs.format(i=layer)}.{part}"


def _to_theirs(family: Family, our_name: str, weight: Tensor, heads: int) -> Tensor:
    if family.interleaved and ".qkv." in our_name:
        weight = weight.unflatten(0, (3, heads, -1)).transpose(0, 1).flatten(0, 2)
    return weight.t() if _transposed(family, our_name) else weight


def _to_ours(family: Family, our_name: str, weight: Tensor, heads: int) -> Tensor:
    weight = weight.t() if _transposed(family, our_name) else weight
    if family.interleaved and ".qkv." in our_name:
        weight = weight.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)
    return weight


def _transposed(family: Family, our_name: str) -> bool:
    linear = (".qkv.weight", ".out.weight", ".up.weight", ".down.weight")
    return family.conv1d and our_name.endswith(linear)


def _load(module: torch.nn.Module, state: dict[str, Tensor]) -> None:
    """Copy `state` into `module`; whatever else the module has must be tied to something in it."""
    parameters = dict(module.named_parameters())  # without the second name of a tied weight
    if parameters.keys() != state.keys():
        raise ValueError(f"weights without a counterpart: {sorted(parameters.keys() ^ state.keys())}")
    with torch.no_grad():
        for name, weight in state.items():
            if parameters[name].shape != weight.shape:  # copy_ would broadcast
                raise ValueError(f"{name}: {tuple(weight.shape)} does not fit {tuple(parameters[name].shape)}")
            parameters[name].copy_(weight)


def _write_remote_code(folder: Path) -> None:
    """The one import by which `trust_remote_code=True` finds our class, and its entry in config.json."""
    (folder / "modeling_benchsuite.py").write_text(
        "from benchsuite.model.transformers_model import BenchsuiteConfig, BenchsuiteForCausalLM  # noqa: F401\n",
        encoding="utf-8",
    )
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["auto_map"] = {
        "AutoConfig": "modeling_benchsuite.BenchsuiteConfig",
        "AutoModelForCausalLM": "modeling_benchsuite.BenchsuiteForCausalLM",
    }
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _common(spec: ModelSpec) -> dict[str, Any]:
    return {
        "vocab_size": spec.vocab,
        "tie_word_embeddings": spec.tied,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _gpt2_config(spec: ModelSpec, positions: int) -> GPT2Config:
    return GPT2Config(
        **_common(spec),
        n_positions=positions,
        n_embd=spec.width,
        n_layer=spec.layers,
        n_head=spec.heads,
        n_inner=spec.d_ff,
        activation_function=ACTIVATIONS[spec.activation],
        layer_norm_epsilon=spec.norm_eps,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


def _gpt2_spec(config: GPT2Config) -> ModelSpec:
    _require(config, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    _require(config, n_inner=(None, 4 * config.n_embd))
    return ModelSpec(
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        vocab=config.vocab_size,
        seq=config.n_positions,
        position="learned",
        activation=_activation(config.activation_function),
        tied=config.tie_word_embeddings,
        norm_eps=config.layer_norm_epsilon,
    )


def _bloom_config(spec: ModelSpec, positions: int) -> BloomConfig:
    config = BloomConfig(
        **_common(spec),
        hidden_size=spec.width,
        n_layer=spec.layers,
        n_head=spec.heads,
        layer_norm_epsilon=spec.norm_eps,
    )
    config.seq_length = spec.seq  # the class does not use it; BLOOM's own files hold it
    return config


def _bloom_spec(config: BloomConfig) -> ModelSpec:
    _require(config, apply_residual_connection_post_layernorm=False)
    return ModelSpec(
        layers=config.n_layer,
        width=config.hidden_size,
        heads=config.n_head,
        vocab=config.vocab_size,
        seq=getattr(config, "seq_length", UNBOUNDED),
        position="alibi",
        embedding_norm="on",
        tied=config.tie_word_embeddings,
        norm_eps=config.layer_norm_epsilon,
    )


def _gpt_neox_config(spec: ModelSpec, positions: int) -> GPTNeoXConfig:
    return GPTNeoXConfig(
        **_common(spec),
        hidden_size=spec.width,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        intermediate_size=spec.d_ff,
        hidden_act=ACTIVATIONS[spec.activation],
        max_position_embeddings=positions,
        layer_norm_eps=spec.norm_eps,
        use_parallel_residual=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
    )


def _gpt_neox_spec(config: GPTNeoXConfig) -> ModelSpec:
    _require(config, use_parallel_residual=False, attention_bias=True, intermediate_size=4 * config.hidden_size)
    rope: dict[str, Any] = dict(config.rope_parameters or {})
    expected = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0}
    for key, value in expected.items():
        if rope.get(key) != value:
            raise UserError(f"a GPT-NeoX with {key} {rope.get(key)} is not our decoder", hint=f"it has {key} {value}")
    return ModelSpec(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        vocab=config.vocab_size,
        seq=config.max_position_embeddings,
        position="rotary",
        activation=_activation(config.hidden_act),
        tied=config.tie_word_embeddings,
        norm_eps=config.layer_norm_eps,
    )


def _require(config: Any, **options: Any) -> None:
    for option, expected in options.items():
        value = getattr(config, option)
        if value not in (expected if isinstance(expected, tuple) else (expected,)):
            raise UserError(
                f"a {config.model_type} with {option}={value} is not our decoder", hint=f"it has {option}={expected}"
            )


def _activation(theirs: str) -> str:
    if theirs in SAME_AS_GELU:
        return "gelu"
    for ours, name in ACTIVATIONS.items():
        if name == theirs:
            return ours
    raise UserError(
        f"the activation {theirs!r} is not one that benchsuite has",
        hint=f"known are: {', '.join([*SAME_AS_GELU, 'relu', 'relu2'])}",
    )


FAMILIES = {
    "gpt2": Family(
        GPT2LMHeadModel,
        _gpt2_config,
        _gpt2_spec,
        {
            "embedding": "transformer.wte",
            "position.table": "transformer.wpe",
            "blocks.{i}.attention_norm": "transformer.h.{i}.ln_1",
            "blocks.{i}.attention.qkv": "transformer.h.{i}.attn.c_attn",
            "blocks.{i}.attention.out": "transformer.h.{i}.attn.c_proj",
            "blocks.{i}.ffn_norm": "transformer.h.{i}.ln_2",
            "blocks.{i}.ffn.up": "transformer.h.{i}.mlp.c_fc",
            "blocks.{i}.ffn.down": "transformer.h.{i}.mlp.c_proj",
            "final_norm": "transformer.ln_f",
            "unembedding": "lm_head",
        },
        conv1d=True,
        interleaved=False,
    ),
    "bloom": Family(
        BloomForCausalLM,
        _bloom_config,
        _bloom_spec,
        {
            "embedding": "transformer.word_embeddings",
            "embedding_norm": "transformer.word_embeddings_layernorm",
            "blocks.{i}.attention_norm": "transformer.h.{i}.input_layernorm",
            "blocks.{i}.attention.qkv": "transformer.h.{i}.self_attention.query_key_value",
            "blocks.{i}.attention.out": "transformer.h.{i}.self_attention.dense",
            "blocks.{i}.ffn_norm": "transformer.h.{i}.post_attention_layernorm",
            "blocks.{i}.ffn.up": "transformer.h.{i}.mlp.dense_h_to_4h",
            "blocks.{i}.ffn.down": "transformer.h.{i}.mlp.dense_4h_to_h",
            "final_norm": "transformer.ln_f",
            "unembedding": "lm_head",
        },
        conv1d=False,
        interleaved=True,
    ),
    "gpt_neox": Family(
        GPTNeoXForCausalLM,
        _gpt_neox_config,
        _gpt_neox_spec,
        {
            "embedding": "gpt_neox.embed_in",
            "blocks.{i}.attention_norm": "gpt_neox.layers.{i}.input_layernorm",
            "blocks.{i}.attention.qkv": "gpt_neox.layers.{i}.attention.query_key_value",
            "blocks.{i}.attention.out": "gpt_neox.layers.{i}.attention.dense",
            "blocks.{i}.ffn_norm": "gpt_neox.layers.{i}.post_attention_layernorm",
            "blocks.{i}.ffn.up": "gpt_neox.layers.{i}.mlp.dense_h_to_4h",
            "blocks.{i}.ffn.down": "gpt_neox.layers.{i}.mlp.dense_4h_to_h",
            "final_norm": "gpt_neox.final_layer_norm",
            "unembedding": "lm_head",
        },
        conv1d=False,
        interleaved=True,
    ),
}
