"""Graph networks in plain torch: graph, Chebyshev, spline and attention convolutions, and dynamic neighbourhoods.

A graph is `edges` (2, E) int64 of sources and targets, both directions, without loops; features are (N, F), dense or a
coalesced sparse tensor: every layer multiplies them by its weights first. Each convolution is the formula of
torch_geometric's layer of that name. The output of every layer but the last is a feedback point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


def with_loops(edges: Tensor, nodes: int) -> Tensor:
    loops = torch.arange(nodes, device=edges.device)
    return torch.cat([edges, torch.stack([loops, loops])], 1)


def degrees(edges: Tensor, nodes: int) -> Tensor:
    """The number of edges that arrive at each node, (N,)."""
    return torch.bincount(edges[1], minlength=nodes).float()


def symmetric(edges: Tensor, nodes: int) -> Tensor:
    """1/sqrt(deg(source) deg(target)) of each edge; 0 at nodes without edges."""
    scale = degrees(edges, nodes).pow(-0.5)
    scale[scale.isinf()] = 0
    return scale[edges[0]] * scale[edges[1]]


def at(x: Tensor, nodes: Tensor) -> Tensor:
    """Rows of x; unlike x[nodes] its gradient is added up without sorting."""
    return x.index_select(0, nodes)


def summed(messages: Tensor, edges: Tensor, nodes: int) -> Tensor:
    """Messages (E, …) added up at the targets: (N, …)."""
    return messages.new_zeros(nodes, *messages.shape[1:]).index_add(0, edges[1], messages)


def multiplied(linear: nn.Module, x: Tensor) -> Tensor:
    """x W^T + b of an nn.Linear, of sparse x too."""
    assert isinstance(linear, nn.Linear)
    if not x.is_sparse:
        return functional.linear(x, linear.weight, linear.bias)
    product = torch.sparse.mm(x, linear.weight.T)
    return product if linear.bias is None else product + linear.bias


def thinned(dropout: nn.Dropout, x: Tensor) -> Tensor:
    """Dropout; of sparse x it draws for the numbers that are there."""
    if not x.is_sparse:
        return functional.dropout(x, dropout.p, dropout.training)
    values = functional.dropout(x.values(), dropout.p, dropout.training)
    return torch.sparse_coo_tensor(x.indices(), values, x.shape, is_coalesced=True, check_invariants=False)


class GraphConvolution(nn.Module):
    """D^-1/2 (A + I) D^-1/2 X W + b (Kipf & Welling, arXiv:1609.02907)."""

    def __init__(self, inputs: int, outputs: int, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.linear = _glorot(inputs, outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x, edges = multiplied(self.linear, x), with_loops(edges, len(x))
        return summed(at(x, edges[0]) * symmetric(edges, len(x))[:, None], edges, len(x)) + self.bias


class ChebyshevConvolution(nn.Module):
    """Sum over k of T_k(L - I) X W_k + b with the largest eigenvalue of L taken as 2 (Defferrard et al.,
    arXiv:1606.09375)."""

    def __init__(self, inputs: int, outputs: int, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.linears = nn.ModuleList(_glorot(inputs, outputs) for _ in range(sizes["hops"]))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        weights = -symmetric(edges, len(x))[:, None]

        def scaled_laplacian(t: Tensor) -> Tensor:
            return summed(at(t, edges[0]) * weights, edges, len(t))

        # Clenshaw's (1955) recurrence for the sum, on the narrower products X W_k
        first, *terms = (multiplied(linear, x) for linear in self.linears)
        now, after = torch.zeros_like(first), torch.zeros_like(first)
        for term in reversed(terms):
            now, after = term + 2 * scaled_laplacian(now) - after, now
        return first + scaled_laplacian(now) - after + self.bias


class SplineConvolution(nn.Module):
    """Mean over neighbours of x_j W(u), plus x_i W_root + b. W(u) is a linear B-spline through two kernels, at u = 0
    and 1 (Fey et al., arXiv:1711.08920); u of an edge is its target's degree over the largest."""

    def __init__(self, inputs: int, outputs: int, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.ends = nn.ModuleList(_glorot(inputs, outputs) for _ in range(2))
        self.root = _glorot(inputs, outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        nodes, degree = len(x), degrees(edges, len(x))
        u = (degree / degree.max().clamp(min=1))[edges[1], None]
        near, far = (at(multiplied(end, x), edges[0]) for end in self.ends)
        mean = summed((1 - u) * near + u * far, edges, nodes) / degree.clamp(min=1)[:, None]
        return mean + multiplied(self.root, x) + self.bias


class GraphAttention(nn.Module):
    """Heads side by side of sum_j softmax_j(leaky_relu(a_s·W x_j + a_t·W x_i)) W x_j, loops included (Veličković et
    al., arXiv:1710.10903). The last layer of a network has one head."""

    def __init__(self, inputs: int, outputs: int, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.heads = sizes["heads"] if outputs % sizes["heads"] == 0 and not sizes.get("last") else 1
        self.linear = _glorot(inputs, outputs)
        self.source, self.target = (_attention(self.heads, outputs // self.heads) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.dropout = nn.Dropout(0.0)  # of attention; the network sets it

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        nodes = len(x)
        edges = with_loops(edges, nodes)
        x = multiplied(self.linear, x).view(nodes, self.heads, -1)
        source, target = (x * self.source).sum(-1), (x * self.target).sum(-1)
        scores = functional.leaky_relu(at(source, edges[0]) + at(target, edges[1]), 0.2)
        share = self.dropout(softmax(scores, edges, nodes))
        return summed(at(x, edges[0]) * share[..., None], edges, nodes).flatten(1) + self.bias


class DynamicNeighbourhood(nn.Module):
    """A node's last features attend to all layers' features of its neighbours, loops included; messages are summed with
    the weights of a graph convolution (Fey, arXiv:1904.04849). `x` is (N, layers so far, C); returns (N, C)."""

    def __init__(self, channels: int, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.heads, groups = sizes["heads"], sizes["groups"]
        self.query, self.key, self.value = (GroupedLinear(channels, groups) for _ in range(3))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        nodes, layers, channels = x.shape
        edges = with_loops(edges, nodes)
        split = (self.heads, channels // self.heads)
        query = self.query(x[:, -1]).view(nodes, *split)
        key, value = (part(x).view(nodes, layers, *split) for part in (self.key, self.value))
        scores = (at(query, edges[1])[:, None] * at(key, edges[0])).sum(-1) / math.sqrt(split[1])
        messages = (restricted_softmax(scores)[..., None] * at(value, edges[0])).sum(1).flatten(1)
        return summed(messages * symmetric(edges, nodes)[:, None], edges, nodes)


class GroupedLinear(nn.Module):
    """A linear map of each of `groups` equal parts of the channels."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        size = channels // groups
        bound = math.sqrt(6 / (2 * size))
        self.weight = nn.Parameter(torch.empty(groups, size, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        parts = x.view(*x.shape[:-1], *self.weight.shape[:2])
        return torch.einsum("...gi,gio->...go", parts, self.weight).flatten(-2) + self.bias


def softmax(scores: Tensor, edges: Tensor, nodes: int) -> Tensor:
    """Softmax of (E, H) over the edges that arrive at the same node."""
    index = edges[1][:, None].expand_as(scores)
    most = scores.new_full((nodes, scores.shape[1]), -torch.inf).scatter_reduce(0, index, scores.detach(), "amax")
    powers = (scores - at(most, edges[1])).exp()
    return powers / at(summed(powers, edges, nodes), edges[1])


def restricted_softmax(scores: Tensor) -> Tensor:
    """Softmax over dim 1 with a further score of 0 that nothing stands for, so that all may be ignored."""
    most = scores.amax(1, keepdim=True).clamp(min=0)
    powers = (scores - most).exp()
    return powers / (powers.sum(1, keepdim=True) + (-most).exp())


class Layer(nn.Module):
    """Dropout, a convolution, and, but for the last layer, its activation."""

    def __init__(self, convolution: nn.Module, activation: nn.Module, dropout: float) -> None:
        super().__init__()
        self.dropout, self.convolution, self.activation = nn.Dropout(dropout), convolution, activation

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        out: Tensor = self.activation(self.convolution(thinned(self.dropout, x), edges))
        return out


CONVOLUTIONS: dict[str, type[nn.Module]] = {
    "gcn": GraphConvolution,
    "cheb": ChebyshevConvolution,
    "spline": SplineConvolution,
    "gat": GraphAttention,
}


class GraphNet(nn.Module):
    """`layers` convolutions of one kind; (N, F) and edges to (N, outputs)."""

    def __init__(self, name: str, inputs: int, outputs: int, sizes: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        hidden = [sizes["width"]] * (sizes["layers"] - 1)
        self.layers = nn.ModuleList()
        for number, (into, out) in enumerate(zip([inputs, *hidden], [*hidden, outputs], strict=True), 1):
            last = number == sizes["layers"]
            convolution = CONVOLUTIONS[name](into, out, {**sizes, "last": last})
            if isinstance(convolution, GraphAttention):
                convolution.dropout.p = dropout
            kind = nn.ELU() if name in ("gat", "spline") else nn.ReLU()
            self.layers.append(Layer(convolution, nn.Identity() if last else kind, dropout))
        self.points = tuple(f"layers.{number}" for number in range(len(hidden)))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, edges)
        return x


class Projection(nn.Module):
    """The features' first layer, of every node by itself."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(multiplied(self.linear, thinned(self.dropout, x)))


class DynamicNet(nn.Module):
    """A projection, `layers` dynamic neighbourhoods, a linear output; (N, F) and edges to (N, outputs)."""

    def __init__(self, inputs: int, outputs: int, sizes: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        width = sizes["width"]
        self.first = Projection(inputs, width, dropout)
        self.layers = nn.ModuleList(
            Layer(DynamicNeighbourhood(width, sizes), nn.ReLU(), 0.0) for _ in range(sizes["layers"])
        )
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(width, outputs)
        self.points = ("first", *(f"layers.{number}" for number in range(sizes["layers"])))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x = self.first(x)[:, None]
        for layer in self.layers:
            x = torch.cat([x, layer(x, edges)[:, None]], 1)
        out: Tensor = self.output(self.dropout(x[:, -1]))
        return out


def build(name: str, inputs: int, outputs: int, sizes: Mapping[str, int], dropout: float) -> GraphNet | DynamicNet:
    if name == "dna":
        return DynamicNet(inputs, outputs, sizes, dropout)
    return GraphNet(name, inputs, outputs, sizes, dropout)


def _glorot(inputs: int, outputs: int) -> nn.Linear:
    """A linear map without bias, drawn as Glorot & Bengio (2010) do."""
    linear = nn.Linear(inputs, outputs, bias=False)
    nn.init.xavier_uniform_(linear.weight)
    return linear


def _attention(heads: int, size: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, heads, size)))
