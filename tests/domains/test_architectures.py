"""Every architecture learns its stand-in; the convolutions are their formulas, written with dense matrices."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchsuite import learning
from benchsuite.domains import ARCHITECTURES, TASKS, click_data, graph_data, graph_nets, nerf, recipes, scenes
from benchsuite.domains import tasks as domain_tasks
from benchsuite.domains.recipes import Recipe
from benchsuite.domains.tasks import Learnable
from benchsuite.domains.training import attached, search, train
from benchsuite.planning import domain_cases

GRAPH = graph_data.Blocks(classes=3, nodes=150, vocabulary=60, words=8, telling=0.5, homophily=0.9)


@pytest.fixture(scope="module")
def small() -> dict[str, Learnable]:
    """A task of each domain that is learned in a fraction of a second."""
    graph = graph_data.generate(GRAPH)
    return {
        "nodes": domain_tasks.NodeClassification(graph),
        "links": domain_tasks.LinkPrediction(graph_data.hold_out(graph)),
        "clicks": domain_tasks.ClickThrough(click_data.generate(rows=6000, values=6)),
        "views": domain_tasks.ViewSynthesis(scenes.generate(size=12, views=(8, 1, 2))),
    }


TINY = {
    "nodes": {"steps": 40, "every": 10, "dropout": 0.0},
    "links": {"steps": 60, "every": 20},
    "clicks": {"steps": 120, "every": 40, "batch": 128},
    "views": {
        "steps": 80,
        "every": 40,
        "batch": 96,
        "lr": 5e-3,
        "sizes": {"width": 32, "layers": 2, "samples": 12, "frequencies": 4},
    },
}
ENOUGH = {"nodes": 0.3, "links": 0.1, "clicks": 0.08, "views": 1.5}  # above a guess: dB of views, else a fraction


def tiny(architecture: str, domain: str) -> Recipe:
    task = next(name for name, task in TASKS.items() if task.domain == domain)
    return replace(recipes.of(architecture, task, "nano"), **TINY[domain])


@pytest.mark.parametrize(
    ("architecture", "domain"), [(one.name, domain) for one in ARCHITECTURES.values() for domain in one.domains]
)
def test_it_learns_its_stand_in(architecture: str, domain: str, small: dict[str, Learnable]) -> None:
    found = train(small[domain], architecture, tiny(architecture, domain), "backprop", seed=0)
    score = next(iter(found.test.values()))
    assert score > small[domain].about()["chance"] + ENOUGH[domain]
    assert found.validation == max(score for _, score in found.curve)


@pytest.mark.parametrize(
    ("architecture", "domain"), [("gcn", "nodes"), ("dna", "nodes"), ("dcn", "clicks"), ("nerf", "views")]
)
def test_feedback_points_are_cut_and_fed(architecture: str, domain: str, small: dict[str, Learnable]) -> None:
    """By the shallow rule no parameter before a point has a gradient; by DFA all have, and another than the true
    one."""
    task, recipe = small[domain], tiny(architecture, domain)

    def gradients(rule: str) -> dict[str, torch.Tensor | None]:
        torch.manual_seed(0)
        model = task.model(architecture, recipe)
        batch = next(iter(task.batches(recipe)))
        attached(model, rule, 0)
        task.loss(model, batch).backward()
        return {name: p.grad for name, p in model.named_parameters()}

    true, fed, shallow = (gradients(rule) for rule in learning.RULES)
    still = {name for name, gradient in shallow.items() if gradient is None}
    assert still
    assert not any(gradient is None for gradient in fed.values())
    assert not any(torch.allclose(fed[name], true[name]) for name in still if true[name].abs().max() > 1e-6)
    for name in true.keys() - still:
        torch.testing.assert_close(fed[name], true[name])


def test_a_seed_gives_the_same_training_and_another_another(small: dict[str, Learnable]) -> None:
    recipe = tiny("gcn", "links")
    first, again, other = (train(small["links"], "gcn", recipe, "dfa", seed).curve for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_search_keeps_the_best_on_validation_data_and_tells_all(small: dict[str, Learnable]) -> None:
    found = search(small["nodes"], "gcn", tiny("gcn", "nodes"), "dfa", 0, (1e-6, 1.0), (0.0, 1.0))
    assert len(found.tried) == 4
    assert found.best.validation == max(score for _, _, score in found.tried)
    assert found.best.recipe.lr == pytest.approx(0.01)


def test_a_loss_that_is_not_finite_ends_the_training(small: dict[str, Learnable]) -> None:
    recipe = replace(tiny("deepfm", "clicks"), lr=1e30)
    found = train(small["clicks"], "deepfm", recipe, "backprop", seed=0)
    assert found.diverged_at is not None
    assert found.steps < recipe.steps


def test_the_plan_and_the_room_of_rules_name_the_same() -> None:
    assert domain_cases.RULES == learning.RULES


def test_every_architecture_has_a_recipe_of_each_size() -> None:
    for table in recipes.SIZES.values():
        assert table.keys() == ARCHITECTURES.keys()


class TestConvolutions:
    """Against dense matrices. Of the same weights torch_geometric 2.8 gives the same, but for the spline convolution,
    which there needs a compiled package."""

    nodes = 12

    @pytest.fixture
    def graph(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        torch.manual_seed(1)
        adjacency = (torch.rand(self.nodes, self.nodes) < 0.3).float().triu(1)
        adjacency[0] = 0  # a node without edges
        adjacency = adjacency + adjacency.T
        return torch.randn(self.nodes, 5), adjacency.nonzero().T, adjacency

    @staticmethod
    def scaled(a: torch.Tensor) -> torch.Tensor:
        d = a.sum(1)
        d = torch.where(d > 0, d.clamp(min=1e-9) ** -0.5, 0.0)
        return d[:, None] * a * d

    def test_graph(self, graph: tuple[torch.Tensor, ...]) -> None:
        x, edges, a = graph
        layer = graph_nets.GraphConvolution(5, 4, {})
        expected = self.scaled(a + torch.eye(self.nodes)) @ x @ layer.linear.weight.T
        torch.testing.assert_close(layer(x, edges), expected)

    def test_chebyshev(self, graph: tuple[torch.Tensor, ...]) -> None:
        x, edges, a = graph
        layer = graph_nets.ChebyshevConvolution(5, 4, {"hops": 3})
        laplacian = -self.scaled(a)
        terms = (x, laplacian @ x, 2 * laplacian @ laplacian @ x - x)
        expected = sum(t @ w.weight.T for t, w in zip(terms, layer.linears, strict=True))
        torch.testing.assert_close(layer(x, edges), expected)

    def test_spline(self, graph: tuple[torch.Tensor, ...]) -> None:
        x, edges, a = graph
        layer = graph_nets.SplineConvolution(5, 4, {})
        u = (a.sum(1) / a.sum(1).max())[:, None]
        mean = a / a.sum(1, keepdim=True).clamp(min=1)
        near, far = (mean @ x @ end.weight.T for end in layer.ends)
        torch.testing.assert_close(layer(x, edges), (1 - u) * near + u * far + x @ layer.root.weight.T)

    def test_attention(self, graph: tuple[torch.Tensor, ...]) -> None:
        x, edges, a = graph
        layer = graph_nets.GraphAttention(5, 6, {"heads": 2})
        allowed = (a + torch.eye(self.nodes)) > 0
        parts = []
        for head in range(2):
            w = layer.linear(x)[:, 3 * head : 3 * head + 3]
            scores = (w @ layer.target[0, head])[:, None] + (w @ layer.source[0, head])[None]
            scores = torch.nn.functional.leaky_relu(scores, 0.2).masked_fill(~allowed, -torch.inf)
            parts.append(scores.softmax(1) @ w)
        torch.testing.assert_close(layer(x, edges), torch.cat(parts, 1))

    def test_dynamic_neighbourhood(self, graph: tuple[torch.Tensor, ...]) -> None:
        _, edges, a = graph
        x = torch.randn(self.nodes, 3, 4)
        layer = graph_nets.DynamicNeighbourhood(4, {"heads": 1, "groups": 1})
        weights = self.scaled(a + torch.eye(self.nodes))
        query, key, value = layer.query(x[:, -1]), layer.key(x), layer.value(x)
        expected = torch.zeros(self.nodes, 4)
        for i in range(self.nodes):
            for j in range(self.nodes):
                powers = (key[j] @ query[i] / 2).exp()
                expected[i] += weights[i, j] * (powers / (1 + powers.sum())) @ value[j]
        torch.testing.assert_close(layer(x, edges), expected)


def test_rendering_of_a_wall_and_of_nothing() -> None:
    distances = nerf.samples(64, 1.0, 3.0, 2, jitter=False)
    raw = torch.full((2, 64, 4), -50.0)  # black and empty
    raw[0, 32:, 3] = 500.0  # matter from the distance 2 on
    raw[0, 32:, 0] = 50.0  # of red
    colours = nerf.render(raw.flatten(0, 1), distances, white=True)
    torch.testing.assert_close(colours, torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), atol=1e-3, rtol=0)


def test_samples_are_one_in_each_stratum() -> None:
    found = nerf.samples(10, 2.0, 4.0, 50, jitter=True)
    strata = ((found - 2.0) / 0.2).floor()
    assert (strata == torch.arange(10)).all()


@pytest.mark.parametrize("name", ["gcn", "cheb", "spline", "gat", "dna"])
def test_sparse_features_give_what_dense_ones_give(name: str) -> None:
    torch.manual_seed(0)
    graph = graph_data.generate(GRAPH)
    model = graph_nets.build(name, 60, 3, recipes.of(name, "blocks-cora", "nano").sizes, dropout=0.0)
    results = []
    for features in (graph.features, graph.features.to_sparse().coalesce()):
        model.zero_grad()
        out = model(features, graph.edges)
        out.square().sum().backward()
        results.append([out, *(p.grad.clone() for p in model.parameters())])
    for dense, sparse in zip(*results, strict=True):
        torch.testing.assert_close(dense, sparse, rtol=1e-4, atol=1e-5)
