"""Learning rules: which gradient each parameter gets."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from benchsuite.errors import UserError
from benchsuite.learning import attach

POINTS = ["first", "second"]


class Net(nn.Module):
    """Two parts of two layers each before the points, and a head; tied to its input where asked."""

    def __init__(self, width: int = 6, outputs: int = 4, *, tied: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, width)
        self.first = nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, width))
        self.second = nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, 5))
        self.third = nn.Linear(5, width)
        self.head = nn.Linear(width, 10 if tied else outputs, bias=False)
        self.recompute = False
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for part in (self.first, self.second):
            x = checkpoint(part, x, use_reentrant=False) if self.recompute else part(x)
        return self.head(self.third(x))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(1)
    return Net()


TOKENS = torch.tensor([[1, 2, 3], [4, 5, 1]])


def loss_of(model: Callable[[Tensor], Tensor]) -> Tensor:
    output = model(TOKENS)
    return functional.cross_entropy(output.flatten(0, -2), torch.arange(len(TOKENS.flatten())) % 4)


def gradients(model: nn.Module, call: Callable[[Tensor], Tensor] | None = None) -> dict[str, Tensor | None]:
    model.zero_grad(set_to_none=True)
    loss_of(model if call is None else call).backward()
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def by_hand(net: Net, matrix: Tensor) -> dict[str, Tensor]:
    """DFA written out part by part."""
    net.zero_grad(set_to_none=True)
    ends, x = [], net.embedding(TOKENS)
    for part in (net.first, net.second):
        ends.append(part(x))
        x = ends[-1].detach()
    output = net.head(net.third(x))
    loss = functional.cross_entropy(output.flatten(0, 1), torch.arange(6) % 4)
    (error,) = torch.autograd.grad(loss, output, retain_graph=True)
    loss.backward()
    for end in ends:
        end.backward((error @ matrix)[..., : end.shape[-1]])
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def test_dfa_is_what_it_is_by_hand_with_leading_columns_shared(net: Net) -> None:
    plain = copy.deepcopy(net)
    learner = attach(net, POINTS, "dfa", seed=3)
    found = gradients(net)
    assert learner.matrix is not None
    assert learner.matrix.shape == (4, 6)  # the widest point; the other has 5
    expected = by_hand(plain, learner.matrix)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-6, atol=1e-8)


def test_backprop_is_loss_backward_to_the_bit(net: Net) -> None:
    before = gradients(net)
    attach(net, POINTS, "backprop", seed=0)
    after = gradients(net)
    for name, gradient in before.items():
        assert gradient is not None
        assert torch.equal(gradient, after[name])  # type: ignore[arg-type]


def test_shallow_teaches_only_what_is_behind_the_last_point(net: Net) -> None:
    before = gradients(net)
    attach(net, POINTS, "shallow", seed=0)
    after = gradients(net)
    learn = {name for name, gradient in after.items() if gradient is not None}
    assert learn == {"third.weight", "third.bias", "head.weight"}
    for name in learn:
        assert torch.equal(before[name], after[name])  # type: ignore[arg-type]


@pytest.mark.parametrize(("rule", "depends"), [("dfa", False), ("backprop", True)])
def test_no_gradient_crosses_a_point(net: Net, rule: str, depends: bool) -> None:
    """Other weights behind a part change its gradient only through the error, which is held equal here."""
    attach(net, POINTS, rule, seed=0)

    def first_gradient(error: Tensor) -> Tensor:
        net.zero_grad(set_to_none=True)
        (net(TOKENS) * error).sum().backward()  # linear: the error is the same for any output
        gradient = net.get_parameter("first.0.weight").grad
        assert gradient is not None
        return gradient.clone()

    one, other = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    before, with_other_error = first_gradient(one), first_gradient(other)
    for later in (net.second, net.third, net.head):
        for parameter in later.parameters():
            nn.init.normal_(parameter)
    assert torch.equal(before, first_gradient(one)) is not depends
    assert not torch.equal(before, with_other_error)


def test_a_seed_is_a_matrix_and_leaves_the_random_numbers_alone(net: Net) -> None:
    state = torch.get_rng_state()
    draws = [attach(Net(), POINTS, "dfa", seed=seed).draw(4, 6) for seed in (3, 3, 4)]
    torch.set_rng_state(state)
    learner = attach(net, POINTS, "dfa", seed=3)
    gradients(net)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(draws[0], learner.matrix)  # type: ignore[arg-type]
    assert draws[0].abs().max() <= 6**-0.5
    assert draws[0].std() == pytest.approx((6 * 3) ** -0.5, rel=0.3)


def test_state_dict_is_unchanged_and_close_gives_backpropagation_again(net: Net) -> None:
    before, plain = {k: v.clone() for k, v in net.state_dict().items()}, gradients(net)
    learner = attach(net, POINTS, "dfa", seed=0)
    gradients(net)
    assert net.state_dict().keys() == before.keys()
    learner.close()
    after = gradients(net)
    assert all(torch.equal(plain[name], after[name]) for name in plain)  # type: ignore[arg-type]


def test_tied_weights_get_both_gradients() -> None:
    torch.manual_seed(1)
    net = Net(tied=True)
    plain = copy.deepcopy(net)
    learner = attach(net, POINTS, "dfa", seed=0)
    found = gradients(net)["embedding.weight"]
    assert learner.matrix is not None
    torch.testing.assert_close(found, by_hand(plain, learner.matrix)["embedding.weight"], rtol=1e-6, atol=1e-8)


def test_several_calls_before_one_backward_add_up(net: Net) -> None:
    attach(net, POINTS, "dfa", seed=0)
    once = gradients(net)
    net.zero_grad(set_to_none=True)
    (loss_of(net) + loss_of(net)).backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, 2 * once[name])  # type: ignore[operator]


def test_recomputed_activations_give_the_same_gradients_and_hold_nothing(net: Net) -> None:
    learner = attach(net, POINTS, "dfa", seed=0)
    kept = gradients(net)
    net.recompute = True
    again = gradients(net)
    assert learner._passed is None
    for name, gradient in kept.items():
        torch.testing.assert_close(again[name], gradient, rtol=0, atol=0)


@pytest.mark.slow
def test_compiled_it_gives_the_same_gradients(net: Net) -> None:
    learner = attach(net, POINTS, "dfa", seed=0)
    eager = gradients(net)
    matrix = learner.matrix
    torch._dynamo.reset()
    compiled = gradients(net, torch.compile(net, fullgraph=True, backend="aot_eager"))
    assert learner.matrix is matrix
    for name, gradient in eager.items():
        torch.testing.assert_close(compiled[name], gradient)


def test_points_may_have_more_dimensions_than_the_output() -> None:
    """An output (batch), one number for each sample, feeds back to points (batch, fields, width)."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Flatten(), nn.Linear(8, 1), nn.Flatten(0))
    learner = attach(net, ["0"], "dfa", seed=0)
    net(torch.randn(5, 2, 3)).square().sum().backward()
    assert learner.matrix is not None
    assert learner.matrix.shape == (1, 8)
    assert net[0].weight.grad is not None


def test_what_runs_without_gradients_is_left_alone(net: Net) -> None:
    attach(net, POINTS, "dfa", seed=0)
    with torch.no_grad():
        assert not net(TOKENS).requires_grad
        assert not net.head(net.third(net.second(net.first(net.embedding(TOKENS))))).requires_grad


def test_a_broken_off_call_leaves_no_trace(net: Net) -> None:
    attach(net, POINTS, "dfa", seed=0)
    right = gradients(net)
    with pytest.raises(IndexError):
        net(torch.tensor([[99]]))
    net.third.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        net(TOKENS)
    net.third._forward_pre_hooks.clear()
    again = gradients(net)
    assert all(torch.equal(right[name], again[name]) for name in right)  # type: ignore[arg-type]


def test_angles_are_those_of_the_gradients_and_change_nothing(net: Net) -> None:
    plain = copy.deepcopy(net)
    learner = attach(net, POINTS, "dfa", seed=0)
    kept = gradients(net)
    state = torch.get_rng_state()
    angles = learner.angles(lambda: loss_of(net))
    assert torch.equal(torch.get_rng_state(), state)
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter.grad, kept[name])  # type: ignore[arg-type]
    again = gradients(net)
    assert all(torch.equal(kept[name], again[name]) for name in kept)  # type: ignore[arg-type]

    seen: list[Tensor] = []
    for name in POINTS:
        plain.get_submodule(name).register_forward_hook(lambda _, __, y: seen.append(y))
    output = plain(TOKENS)
    loss = functional.cross_entropy(output.flatten(0, 1), torch.arange(6) % 4)
    error, *true = torch.autograd.grad(loss, [output, *seen])
    assert learner.matrix is not None
    assert list(angles) == POINTS
    for name, gradient in zip(POINTS, true, strict=True):
        mine = (error @ learner.matrix)[..., : gradient.shape[-1]]
        assert angles[name] == pytest.approx(float(torch.cosine_similarity(mine, gradient, dim=-1).mean()), abs=1e-6)


def test_the_angle_is_one_where_the_feedback_matrix_is_the_forward_weight() -> None:
    net = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    learner = attach(net, ["0"], "dfa", seed=0)
    learner.matrix = net.get_parameter("1.weight").detach().clone()
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    assert learner.angles(lambda: net(x).square().sum())["0"] == pytest.approx(1)


def test_angles_are_of_one_call_of_the_model(net: Net) -> None:
    learner = attach(net, POINTS, "dfa", seed=0)
    with pytest.raises(UserError, match="calls the model 2 times"):
        learner.angles(lambda: loss_of(net) + loss_of(net))
    with pytest.raises(UserError, match="no angles of shallow"):
        attach(Net(), POINTS, "shallow", seed=0).angles(lambda: loss_of(net))


@pytest.mark.parametrize(
    ("points", "rule", "output", "said"),
    [
        (["first", ""], "dfa", "", "no submodule ''"),
        (POINTS, "dfb", "", "unknown learning rule 'dfb'"),
        (["frist"], "dfa", "", "no submodule 'frist'"),
        (POINTS, "dfa", "haed", "no submodule 'haed'"),
        ([], "shallow", "", "shallow needs feedback points"),
        (["first", "first"], "dfa", "", "named twice"),
        (["third", "first"], "dfa", "third", "'third' is a feedback point too"),
        ([nn.Linear(1, 1)], "dfa", "", "given by name, not as Linear"),
    ],
)
def test_what_cannot_be_is_refused(net: Net, points: list[str], rule: str, output: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        attach(net, points, rule, seed=0, output=output)


def test_what_does_not_fit_is_told_in_one_line(net: Net) -> None:
    attach(net, ["first", "head"], "dfa", seed=0, output="third")
    with pytest.raises(UserError, match="head were not passed before the output"):
        net(TOKENS)

    class Pooled(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return self[1](self[0](x).mean(dim=0))

    pooled = Pooled(nn.Linear(3, 4), nn.Linear(4, 2))
    attach(pooled, ["0"], "dfa", seed=0)
    with pytest.raises(UserError, match=r"'0' has the shape \(6, 5, 4\), which does not begin with \(5,\)"):
        pooled(torch.randn(6, 5, 3))


def test_a_part_called_alone_cannot_learn_silently(net: Net) -> None:
    attach(net, POINTS, "dfa", seed=0, output="third")
    with torch.no_grad():
        net(TOKENS)
    with pytest.raises(UserError, match="no error reaches the feedback point 'first'"):
        net.first(net.embedding(TOKENS))
    with pytest.raises(UserError, match="outside the call of the model"):
        net.third(torch.randn(2, 3, 5))


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_a_seed_that_is_none(net: Net, seed: Any) -> None:
    with pytest.raises(UserError, match="a seed is a whole number"):
        attach(net, POINTS, "dfa", seed=seed)


def test_a_module_is_one_point_by_one_rule_until_that_is_closed(net: Net) -> None:
    net.alias = net.first
    with pytest.raises(UserError, match="by two names"):
        attach(net, ["first", "alias"], "dfa", seed=0)
    learner = attach(net, POINTS, "dfa", seed=0)
    with pytest.raises(UserError, match="'second' is a feedback point already"):
        attach(net, ["second"], "shallow", seed=0)
    learner.close()
    with pytest.raises(UserError, match="once the rule is closed"):
        learner.angles(lambda: loss_of(net))
    attach(net, ["second"], "shallow", seed=0)


@pytest.mark.parametrize(("rule", "said"), [("dfa", "before the output"), ("shallow", "in the call of the model")])
def test_a_point_that_is_not_called_is_told(net: Net, rule: str, said: str) -> None:
    net.other = nn.Linear(2, 2)
    attach(net, ["first", "other"], rule, seed=0)
    with pytest.raises(UserError, match=f"other were not passed {said}"):
        net(TOKENS)


def test_an_output_that_is_not_called_is_told(net: Net) -> None:
    net.other = nn.Linear(2, 2)
    attach(net, POINTS, "dfa", seed=0, output="other")
    with pytest.raises(UserError, match="the output 'other' was not computed"):
        net(TOKENS)


class Twice(nn.Module):
    """A layer that is called twice, the second time behind the head where asked."""

    def __init__(self, *, behind: bool = False) -> None:
        super().__init__()
        self.layer, self.head, self.behind = nn.Linear(3, 3), nn.Linear(3, 3), behind

    def forward(self, x: Tensor) -> Tensor:
        once = torch.tanh(self.layer(x))
        return self.layer(self.head(once)) if self.behind else self.head(self.layer(once))


def test_a_layer_that_is_called_twice_gets_the_error_at_both_calls() -> None:
    torch.manual_seed(0)
    net, x = Twice(), torch.randn(4, 3)
    learner = attach(net, ["layer"], "dfa", seed=0)
    output = net(x)
    output.square().sum().backward()
    assert learner.matrix is not None
    with torch.no_grad():
        fed, between = 2 * output @ learner.matrix, torch.tanh(net.layer(x))
    torch.testing.assert_close(net.layer.weight.grad, fed.T @ x + fed.T @ between)
    behind = Twice(behind=True)
    attach(behind, ["layer"], "dfa", seed=0, output="head")
    with pytest.raises(UserError, match="computed behind the output"):
        behind(x)


@pytest.mark.parametrize("frozen", ["first", "head"])
def test_frozen_parameters_get_nothing_and_the_others_what_they_would(net: Net, frozen: str) -> None:
    plain = copy.deepcopy(net)
    attach(plain, POINTS, "dfa", seed=0)
    expected = gradients(plain)
    attach(net, POINTS, "dfa", seed=0)
    net.get_submodule(frozen).requires_grad_(False)
    for name, gradient in gradients(net).items():
        if name.startswith(frozen):
            assert gradient is None
        else:
            torch.testing.assert_close(gradient, expected[name], rtol=0, atol=0)


def test_a_point_inside_a_point_gives_its_part_the_error(net: Net) -> None:
    outer = copy.deepcopy(net)
    attach(net, [*POINTS, "first.2"], "dfa", seed=0)
    attach(outer, POINTS, "dfa", seed=0)
    for (name, mine), theirs in zip(gradients(net).items(), gradients(outer).values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
@pytest.mark.parametrize("rule", ["dfa", "shallow"])
def test_a_copy_learns_by_the_same_rule_by_itself(net: Net, rule: str, copied: Callable[[Net], Net]) -> None:
    learner = attach(net, POINTS, rule, seed=0)
    expected = gradients(net)
    other = copied(net)
    learner.close()
    for (name, mine), theirs in zip(gradients(other).items(), expected.values(), strict=True):
        assert (mine is None) is (theirs is None)
        assert mine is None or torch.equal(mine, theirs), name  # type: ignore[arg-type]


def test_distributed_training_around_the_model(net: Net) -> None:
    attach(net, POINTS, "dfa", seed=0)
    expected = gradients(net)
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(net)
        for (name, mine), theirs in zip(gradients(net, wrapped).items(), expected.values(), strict=True):
            torch.testing.assert_close(mine, theirs, msg=name)
        with pytest.raises(UserError, match="DistributedDataParallel has looked"):
            attach(wrapped, ["module.first"], "dfa", seed=0)
    finally:
        distributed.destroy_process_group()


def test_the_whole_model_may_be_recomputed_but_not_reentrantly_a_part(net: Net) -> None:
    attach(net, POINTS, "dfa", seed=0)
    expected = gradients(net)
    again = gradients(net, lambda tokens: checkpoint(net, tokens, use_reentrant=False))
    for name, gradient in expected.items():
        torch.testing.assert_close(again[name], gradient, rtol=0, atol=0)

    class Reentrant(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return self[1](checkpoint(self[0], x, use_reentrant=True))

    part = Reentrant(nn.Linear(3, 3), nn.Linear(3, 2))
    attach(part, ["0"], "dfa", seed=0)
    with pytest.raises(UserError, match="0 were not passed before the output") as caught:
        part(torch.randn(2, 3, requires_grad=True))
    assert "use_reentrant=True" in caught.value.hint


@pytest.mark.parametrize("outputs", [lambda y: y.sum(), lambda y: y.argmax(-1, keepdim=True), lambda y: (y, y)])
def test_an_output_that_has_no_error_is_refused(net: Net, outputs: Callable[[Tensor], Any]) -> None:
    net.register_forward_hook(lambda _, __, y: outputs(y))
    attach(net, POINTS, "dfa", seed=0)
    with pytest.raises(UserError, match="the output that feeds back is"):
        net(TOKENS)


def test_the_output_may_be_changed_in_place_and_functional_gradients_be_taken(net: Net) -> None:
    attach(net, POINTS, "dfa", seed=0)
    expected = gradients(net)
    for name, gradient in gradients(net, lambda tokens: net(tokens).mul_(1)).items():
        assert torch.equal(gradient, expected[name])  # type: ignore[arg-type]
    parameters = dict(net.named_parameters())
    found = torch.func.grad(lambda given: loss_of(lambda x: torch.func.functional_call(net, given, (x,))))(parameters)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name])


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["dfa", "shallow"])
def test_what_was_compiled_before_is_told_and_follows_after_a_reset(net: Net, rule: str) -> None:
    compiled = torch.compile(net, backend="aot_eager")
    before = gradients(net, compiled)
    learner = attach(net, POINTS, rule, seed=0)
    with pytest.raises(UserError, match="first, second were not passed") as caught:
        compiled(TOKENS)
    assert "compiled before" in caught.value.hint
    torch.compiler.reset()
    expected = gradients(net)
    for name, gradient in gradients(net, compiled).items():  # zeros where a plain backward pass gives none
        if expected[name] is None:
            assert gradient is None or not gradient.any()
        else:
            torch.testing.assert_close(gradient, expected[name])
    if rule == "dfa":
        assert learner.angles(lambda: loss_of(compiled)) == learner.angles(lambda: loss_of(net))
    learner.close()
    for name, gradient in gradients(net, compiled).items():
        torch.testing.assert_close(gradient, before[name])


@pytest.mark.parametrize("rule", ["dfa", "shallow", "backprop"])
def test_updates_in_bfloat16_are_those_in_float64_to_its_rounding(net: Net, rule: str) -> None:
    """The error of a rule's updates is within the limit of a training step in mixed precision, as backpropagation's."""
    exact = copy.deepcopy(net).double()
    found = []
    for model in (net, exact):
        attach(model, POINTS, rule, seed=0)
        with torch.autocast("cpu", torch.bfloat16, enabled=model is net):
            found.append(gradients(model))
    mine, theirs = found
    for name, gradient in theirs.items():
        if gradient is None:
            assert mine[name] is None
            continue
        assert mine[name] is not None
        assert mine[name].dtype == torch.float32  # type: ignore[union-attr]
        assert (mine[name] - gradient).norm() < 0.05 * gradient.norm()  # type: ignore[operator]
