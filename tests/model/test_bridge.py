"""Our decoder against code that others trust: with the same weights, transformers computes the same logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    PreTrainedModel,
)
from transformers.models.llama.modeling_llama import LlamaMLP

from benchsuite.errors import UserError
from benchsuite.model import bridge
from benchsuite.model.encoder_decoder import build
from benchsuite.model.gpt import GPT, FeedForward
from benchsuite.model.spec import ModelSpec
from benchsuite.model.transformers_model import wrap

TEXTS = ["the cat sat on the mat and the dog sat on the log", "12 + 7 = 19"]


def shake(module: torch.nn.Module) -> None:
    """Weights, biases and norms far enough from their start for any mistake to show in the logits."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            norm = "norm" in name or "ln_" in name
            parameter.normal_(mean=float(norm and name.endswith("weight")), std=0.2, generator=generator)


def spec(**options: Any) -> ModelSpec:
    return ModelSpec(**{"layers": 3, "width": 48, "heads": 4, "vocab": 300, "seq": 24, **options})


def tokens() -> torch.Tensor:
    return torch.randint(300, (3, 24), generator=torch.Generator().manual_seed(1))


def logits(model: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
    with torch.inference_mode():
        found = model(*args, **kwargs)
    return found if isinstance(found, torch.Tensor) else found.logits


NATIVE: list[tuple[dict[str, Any], type[PreTrainedModel]]] = [
    ({"position": "learned"}, GPT2LMHeadModel),
    ({"position": "learned", "activation": "relu"}, GPT2LMHeadModel),
    ({"position": "learned", "activation": "relu2", "tied": False}, GPT2LMHeadModel),
    ({"position": "none", "heads": 6}, GPT2LMHeadModel),
    ({"position": "sinusoidal"}, GPT2LMHeadModel),
    ({"position": "rotary"}, GPTNeoXForCausalLM),
    ({"position": "rotary", "heads": 6, "activation": "relu", "tied": False}, GPTNeoXForCausalLM),
    ({"position": "alibi", "embedding_norm": "on"}, BloomForCausalLM),
    ({"position": "alibi", "embedding_norm": "on", "heads": 6}, BloomForCausalLM),
    ({"position": "alibi", "embedding_norm": "on", "heads": 12, "norm_eps": 1e-3}, BloomForCausalLM),
    ({"position": "alibi", "embedding_norm": "on", "heads": 3, "tied": False}, BloomForCausalLM),
]


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(("options", "kind"), NATIVE, ids=str)
def test_transformers_computes_the_same_logits(
    options: dict[str, Any], kind: type[PreTrainedModel], implementation: str
) -> None:
    model = GPT(spec(**options), implementation).eval()
    shake(model)
    theirs = bridge.to_transformers(model)
    assert type(theirs) is kind
    ours = logits(model, tokens())
    assert ours.std() > 0.5
    torch.testing.assert_close(ours, logits(theirs, tokens()), atol=1e-4, rtol=0)


def test_the_comparison_would_show_another_activation() -> None:
    model = GPT(spec(position="learned"))
    shake(model)
    theirs = bridge.to_transformers(model)
    for module in theirs.modules():
        if hasattr(module, "act"):
            module.act = torch.nn.GELU()  # the exact form
    assert (logits(model, tokens()) - logits(theirs, tokens())).abs().max() > 1e-3


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("tied", [True, False])
def test_models_of_transformers_become_ours(implementation: str, tied: bool) -> None:
    theirs: list[PreTrainedModel] = [
        GPT2LMHeadModel(
            GPT2Config(
                vocab_size=300, n_positions=24, n_embd=48, n_layer=2, n_head=6, tie_word_embeddings=tied,
                activation_function="gelu_pytorch_tanh",
            )
        ),
        BloomForCausalLM(BloomConfig(vocab_size=300, hidden_size=48, n_layer=2, n_head=6, tie_word_embeddings=tied)),
        GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=300, hidden_size=48, num_hidden_layers=2, num_attention_heads=6, intermediate_size=192,
                hidden_act="gelu_new", use_parallel_residual=False, tie_word_embeddings=tied,
                rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
            )
        ),
    ]  # fmt: skip
    for model in theirs:
        shake(model)
        ours = bridge.from_transformers(model.eval(), implementation)
        assert ours.spec.tied is tied
        torch.testing.assert_close(logits(ours, tokens()), logits(model, tokens()), atol=1e-4, rtol=0)


def test_there_and_back_changes_nothing() -> None:
    for options, _ in NATIVE:
        if options["position"] not in ("none", "sinusoidal"):  # which come back as the learned table they became
            model = GPT(spec(**options))
            shake(model)
            back = bridge.from_transformers(bridge.to_transformers(model)).state_dict()
            for name, weight in model.state_dict().items():
                assert torch.equal(weight, back[name]), name


@pytest.mark.parametrize("matching", ["iso-parameter", "iso-width"])
def test_the_swiglu_block_is_that_of_llama(matching: str) -> None:
    ours = FeedForward(spec(activation="swiglu", matching=matching))
    d_ff = ours.down.in_features
    theirs = LlamaMLP(LlamaConfig(hidden_size=48, intermediate_size=d_ff, hidden_act="silu", num_attention_heads=4))
    shake(theirs)
    bridge.load_llama_mlp(ours, theirs)
    x = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("theirs", "option"),
    [
        (GPT2Config(n_embd=48, n_layer=1, n_head=2, vocab_size=30, activation_function="gelu"), "'gelu'"),
        (GPT2Config(n_embd=48, n_layer=1, n_head=2, vocab_size=30, n_inner=50), "n_inner=50"),
        (
            GPTNeoXConfig(
                hidden_size=48, num_hidden_layers=1, num_attention_heads=2, intermediate_size=192, vocab_size=30,
                hidden_act="gelu_new", use_parallel_residual=True,
            ),
            "use_parallel_residual=True",
        ),
        (
            GPTNeoXConfig(
                hidden_size=48, num_hidden_layers=1, num_attention_heads=2, intermediate_size=192, vocab_size=30,
                hidden_act="gelu_new", use_parallel_residual=False,
            ),
            "partial_rotary_factor 0.25",
        ),
        (
            BloomConfig(
                hidden_size=48, n_layer=1, n_head=2, vocab_size=30, apply_residual_connection_post_layernorm=True
            ),
            "post_layernorm=True",
        ),
    ],
    ids=["gelu", "d_ff", "parallel", "rotary_pct", "post_layernorm"],
)  # fmt: skip
def test_what_our_decoder_is_not_is_refused(theirs: Any, option: str) -> None:
    with pytest.raises(UserError, match=option):
        bridge.from_transformers(AutoModelForCausalLM.from_config(theirs))


def test_another_class_is_refused() -> None:
    config = LlamaConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=30)
    with pytest.raises(UserError, match="no GPT can be made of a LlamaForCausalLM"):
        bridge.from_transformers(AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize(
    "options",
    [{"activation": "swiglu"}, {"position": "alibi"}, {"position": "rotary", "embedding_norm": "on"}],
    ids=str,
)
def test_a_spec_that_transformers_does_not_know_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(UserError, match="transformers has no class for"):
        bridge.to_transformers(GPT(spec(**options)))


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "fused"])
@pytest.mark.parametrize("position", ["learned", "sinusoidal", "rotary"])
def test_with_the_embedding_norm_it_is_transformers_with_normalised_words(
    position: str, implementation: str, tmp_path: Path, bpe: Tokenizer
) -> None:
    """GPT-2 adds its positions to the embeddings that it is given."""
    model = GPT(spec(position=position, embedding_norm="on"), implementation).eval()
    shake(model)
    plain = GPT(spec(position=position))
    plain.load_state_dict(model.state_dict(), strict=False)
    words = torch.nn.functional.layer_norm(
        model.embedding(tokens()), (48,), model.embedding_norm.weight, model.embedding_norm.bias
    )
    want = logits(bridge.to_transformers(plain), inputs_embeds=words)
    torch.testing.assert_close(logits(model, tokens()), want, atol=1e-4, rtol=0)
    assert bridge.export(model, bpe, tmp_path) == "benchsuite"
    exported = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(exported, tokens()), want, atol=1e-4, rtol=0)


def test_an_export_whose_norm_was_in_another_place_is_refused(bpe: Tokenizer, tmp_path: Path) -> None:
    bridge.export(GPT(spec(embedding_norm="on")), bpe, tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["spec"]["embedding_norm_place"]  # as earlier versions wrote it
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match="normalises the sum of word and position"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


EXPORTED = [
    ({"position": "learned"}, "gpt2"),
    ({"position": "sinusoidal"}, "gpt2"),
    ({"position": "rotary", "tied": False}, "gpt_neox"),
    ({"position": "alibi", "embedding_norm": "on", "heads": 6}, "bloom"),
    ({"position": "alibi"}, "benchsuite"),
    ({"position": "t5"}, "benchsuite"),
    ({"position": "learned", "embedding_norm": "on"}, "benchsuite"),
    ({"position": "rotary", "activation": "geglu", "tied": False}, "benchsuite"),
]


@pytest.mark.parametrize(("options", "model_type"), EXPORTED, ids=str)
def test_an_exported_folder_loads_by_the_auto_classes(
    options: dict[str, Any], model_type: str, bpe: Tokenizer, tmp_path: Path
) -> None:
    model = GPT(spec(**options, vocab=bpe.get_vocab_size()))
    shake(model)
    assert bridge.export(model, bpe, tmp_path) == model_type
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    vocabulary = AutoTokenizer.from_pretrained(tmp_path)
    ids = bpe.encode(TEXTS[0]).ids[:24]
    torch.testing.assert_close(
        logits(model, torch.tensor([ids])), logits(loaded, torch.tensor([ids])), atol=1e-4, rtol=0
    )
    for text in [*TEXTS, "don't  stop\n\n a<|endoftext|>é", " "]:
        assert vocabulary.encode(text) == bpe.encode(text).ids
        assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.bos_token_id == vocabulary.eos_token_id == bpe.token_to_id("<|endoftext|>") == 0
    assert loaded.config.eos_token_id == 0
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors", ".py"}
    assert (model_type == "benchsuite") == (tmp_path / "modeling_benchsuite.py").exists()


def test_everything_can_be_exported_as_our_own_class(bpe: Tokenizer, tmp_path: Path) -> None:
    model = GPT(spec(position="learned"))
    assert bridge.export(model, bpe, tmp_path, native=False) == "benchsuite"
    assert json.loads((tmp_path / "config.json").read_text())["max_position_embeddings"] == 24


def test_an_export_that_cannot_be_written_is_a_user_error(bpe: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be exported"):
        bridge.export(GPT(spec()), bpe, tmp_path / "file")


@pytest.mark.parametrize("position", ["learned", "rotary", "alibi", "t5", "none"])
def test_padding_on_either_side_changes_nothing(position: str) -> None:
    model = GPT(spec(position=position))
    shake(model)
    wrapped = wrap(model)
    ids = tokens()[:1, :9]
    alone = logits(wrapped, ids)
    padding, real = torch.zeros(1, 4, dtype=torch.long), torch.ones_like(ids)
    left = logits(wrapped, torch.cat((padding, ids), 1), attention_mask=torch.cat((padding, real), 1))[:, 4:]
    right = logits(wrapped, torch.cat((ids, padding), 1), attention_mask=torch.cat((real, padding), 1))[:, :9]
    torch.testing.assert_close(left, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(right, alone, atol=1e-4, rtol=0)


def test_the_wrapped_loss_is_ours() -> None:
    model = GPT(spec())
    shake(model)
    ids = tokens()
    with torch.inference_mode():
        expected = model.loss(ids[:, :-1], ids[:, 1:])
        torch.testing.assert_close(wrap(model)(ids, labels=ids).loss, expected)


@pytest.mark.parametrize("architecture", ["prefix", "encdec"])
def test_an_architecture_that_transformers_would_misread_is_refused(architecture: str) -> None:
    model = build(ModelSpec(layers=1, width=8, heads=2, vocab=16, seq=8, architecture=architecture))
    with pytest.raises(UserError, match=f"architecture '{architecture}'"):
        bridge.to_transformers(model)
    with pytest.raises(UserError, match=f"architecture '{architecture}'"):
        wrap(model)
