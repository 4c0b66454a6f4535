"""The learning rules of a decoder: where its feedback points are, what the trainer makes of them, what is refused."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchsuite import components
from benchsuite.errors import UserError
from benchsuite.model import flops
from benchsuite.model.encoder_decoder import build
from benchsuite.model.gpt import GPT
from benchsuite.model.spec import ModelSpec
from benchsuite.planning.machine import Machine
from benchsuite.planning.plan import Plan, resolve
from benchsuite.pretrain import shares
from benchsuite.pretrain.step import Objective, teach
from benchsuite.pretrain.trainer import train
from benchsuite.records.params import TrainConfig
from benchsuite.suite.source import validate
from benchsuite.suite.yaml_tree import parse

SPEC = ModelSpec(layers=3, width=16, heads=2, vocab=32, seq=16)
TEXT = np.tile(np.arange(32, dtype=np.uint16), 40)
CONFIG = TrainConfig(tokens=16 * 4 * 60, batch=4, lr=1e-2)
RULES = list(components.variants("learning_rule"))


def taught(rule: str, implementation: str = "sdpa", **changes: object) -> Objective:
    torch.manual_seed(0)
    objective = Objective(build(replace(SPEC, learning_rule=rule, **changes), implementation))  # type: ignore[arg-type]
    teach(objective, 0)
    return objective


def gradients(objective: Objective) -> dict[str, torch.Tensor]:
    objective.zero_grad(set_to_none=True)
    tokens = torch.randint(SPEC.vocab, (2, SPEC.seq + 1), generator=torch.Generator().manual_seed(1))
    objective(tokens).backward()
    return {name: p.grad for name, p in objective.model.named_parameters() if p.grad is not None}


def test_every_rule_learns_and_backpropagation_most() -> None:
    """A text in which each token determines the next."""
    losses = {rule: train(replace(SPEC, learning_rule=rule), TEXT, CONFIG, seed=0)[1].final_loss for rule in RULES}
    assert min(losses, key=losses.__getitem__) == "backprop"
    assert max(losses.values()) < np.log(SPEC.vocab) - 0.2


def test_a_trained_model_learns_by_backpropagation_from_then_on() -> None:
    model, _ = train(replace(SPEC, learning_rule="shallow"), TEXT, replace(CONFIG, tokens=64), seed=0)
    found = gradients(Objective(model))
    assert found.keys() == dict(model.named_parameters()).keys()


def test_what_learns_is_what_the_rule_says() -> None:
    everything = dict(GPT(SPEC).named_parameters()).keys()
    for rule in ("dfa", "dfa_micro", "backprop"):
        assert gradients(taught(rule)).keys() == everything
    assert gradients(taught("shallow")).keys() == {"embedding.weight", "final_norm.weight", "final_norm.bias"}


def test_the_two_placements_cut_where_the_study_cuts() -> None:
    """A half block's weights do not depend on what comes behind it: with `dfa` the feed-forward block of the same
    block does matter to attention, with `dfa_micro` it does not."""
    for rule, matters in (("dfa", True), ("dfa_micro", False)):
        objective = taught(rule)
        block = objective.model.blocks[0]
        seen = []
        for scale in (1.0, 3.0):
            block.ffn.up.weight.data *= scale  # type: ignore[union-attr, operator]
            # What the error depends on is held equal: nothing behind the first block reads its output.
            objective.model.blocks[1].register_forward_pre_hook(lambda _, given: (given[0] * 0, *given[1:]))
            seen.append(gradients(objective)["blocks.0.attention.qkv.weight"].clone())
        assert torch.equal(*seen) is not matters


@pytest.mark.parametrize("rule", RULES)
def test_flops_are_those_that_torch_counts(rule: str) -> None:
    objective = taught(rule, "eager")
    with FlopCounterMode(display=False) as counter:
        gradients(objective)
    assert counter.get_total_flops() == flops.step_flops(objective.model.spec, 2, SPEC.seq)


def test_recomputed_blocks_learn_the_same() -> None:
    plain, again = taught("dfa_micro"), taught("dfa_micro")
    again.model.recompute = True
    for (name, gradient), other in zip(gradients(plain).items(), gradients(again).values(), strict=True):
        torch.testing.assert_close(gradient, other, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("position", "implementation"), [("learned", "fused"), ("t5", "sdpa")])
def test_every_implementation_learns_the_same(position: str, implementation: str) -> None:
    """T5's bias is one for all blocks, which learn it together."""
    eager, other_way = (taught("dfa", way, position=position) for way in ("eager", implementation))
    for (name, gradient), other in zip(gradients(eager).items(), gradients(other_way).values(), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.slow
def test_compiled_training_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    spec, config = replace(SPEC, learning_rule="dfa"), replace(CONFIG, tokens=16 * 4 * 5)
    eager, compiled = (train(spec, TEXT, replace(config, compile=way), seed=0)[1] for way in (False, True))
    assert compiled.final_loss == pytest.approx(eager.final_loss, rel=1e-4)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(UserError, match="not a model of architecture 'encdec'"):
        replace(SPEC, learning_rule="dfa", architecture="encdec")
    with pytest.raises(UserError, match="not the objective 'prefix-lm'"):
        train(replace(SPEC, learning_rule="dfa"), TEXT, CONFIG, seed=0, objective="prefix-lm")
    with pytest.raises(UserError, match="'dfa' trains in one process, not in 2"):
        shares.check_rule("dfa", 2)


def test_the_rule_is_told_where_it_is_not_backpropagation() -> None:
    assert "learning_rule" not in SPEC.to_json()
    other = replace(SPEC, learning_rule="dfa")
    assert ModelSpec.from_json(other.to_json()) == other
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC


SUITE = """
name: rules
model: {layers: 2, width: 16, heads: 2, vocab: 300, seq: 16}
speed:
  cases: [{component: learning_rule, variants: macro, implementations: [sdpa], scope: SCOPE}]
quality:
  train: {tokens: 10k}
  variants: {learning_rule: [dfa]}
  controls: [{name: other, expect: worse, set: {baseline.learning_rule: shallow}}]
"""


def planned(text: str) -> Plan:
    return resolve(validate(parse(text.encode(), "rules.yaml")), Machine(cores=2))


def test_cases_tell_the_rule_where_it_is_not_backpropagation() -> None:
    cases = {case.label: case for case in planned(SUITE.replace("SCOPE", "step")).cases}
    for label, case in cases.items():
        variants = case.params["model"] if "model" in case.params else case.params["shape"]["variants"]
        said = {"learning_rule/dfa": "dfa", "control/other": "shallow"}.get("/".join(label.split("/")[:2]))
        assert variants.get("learning_rule") == said, label
        assert case.unsupported is None
    assert {"learning_rule/dfa/sdpa/step", "learning_rule/dfa/quality", "control/other"} <= cases.keys()


def test_a_layer_of_a_rule_is_refused_with_its_place() -> None:
    with pytest.raises(UserError, match="learning_rule shapes no layer that could be timed; say scope: step"):
        planned(SUITE.replace("SCOPE", "layer").replace("variants: macro", "variants: [dfa]"))


def test_a_recipe_that_the_rule_does_not_teach_is_unsupported_and_says_so() -> None:
    text = SUITE.replace("SCOPE", "step") + "  recipes: {nd-plm: {stages: [{objective: prefix-lm}]}}\n"
    text = text.replace("model:", "baseline: {learning_rule: dfa}\nmodel:")
    case = next(case for case in planned(text).cases if case.label.startswith("objective/"))
    assert case.unsupported is not None
    assert "not the objective 'prefix-lm'" in case.unsupported
