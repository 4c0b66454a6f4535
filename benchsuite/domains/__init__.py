"""Four domains beside the language model's own: architectures and tasks on which rules of learning are compared.

    task = load.task(TASKS["blocks-cora"], None)        # benchsuite.domains.load
    model = task.model("gcn", Sizes())                  # a torch module and the names of its feedback points
    search(task, "gcn", recipe, "dfa", seed=0)          # benchsuite.domains.training

This module imports no torch: `benchsuite list` and `benchsuite plan` read it. Language, the fourth domain of the
original study (arXiv:2006.12878), is the component `learning_rule` of the suites that train the language model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Domain = Literal["views", "clicks", "nodes", "links"]
METRICS: dict[
    str, tuple[str, str]
] = {  # of each domain: what is measured on the test data, always the larger the better
    "views": ("PSNR", "dB over views that were not trained on"),
    "clicks": ("AUC", "area under the ROC curve of unseen impressions"),
    "nodes": ("accuracy", "fraction of the test nodes with the right class"),
    "links": ("AUC", "area under the ROC curve of held-out edges against as many pairs without an edge"),
}


@dataclass(frozen=True)
class Architecture:
    """A network that is trained on the tasks of its `domains`, and where it comes from."""

    name: str
    title: str
    domains: tuple[Domain, ...]
    source: str


@dataclass(frozen=True)
class Task:
    """A data set and the question asked of it. A real one is read from a folder that the user gives, in the files that
    its authors publish (`files`); a generated one stands for the real ones that it names."""

    name: str
    title: str
    domain: Domain
    files: str = ""
    marks: tuple[str, ...] = ()  # patterns of names, one of which such a folder holds
    stands_for: tuple[str, ...] = ()

    @property
    def generated(self) -> bool:
        return not self.files

    @property
    def metric(self) -> str:
        return METRICS[self.domain][0]


_GRAPH_TASKS: tuple[tuple[str, str, Domain], ...] = (("", "", "nodes"), ("-links", ", links", "links"))
_PLANETOID = "ind.{name}.x, .y, .tx, .ty, .allx, .ally, .graph and .test.index of Planetoid, or {name}.npz"

ARCHITECTURES = {
    one.name: one
    for one in (
        Architecture("nerf", "NeRF", ("views",), "arXiv:2003.08934"),
        Architecture("deepfm", "DeepFM", ("clicks",), "arXiv:1703.04247"),
        Architecture("dcn", "Deep & Cross", ("clicks",), "arXiv:1708.05123"),
        Architecture("autoint", "AutoInt", ("clicks",), "arXiv:1810.11921"),
        Architecture("afn", "AFN", ("clicks",), "arXiv:1909.03276"),
        Architecture("gcn", "Graph convolution", ("nodes", "links"), "arXiv:1609.02907"),
        Architecture("cheb", "Chebyshev convolution", ("nodes", "links"), "arXiv:1606.09375"),
        Architecture("spline", "Spline convolution", ("nodes",), "arXiv:1711.08920"),
        Architecture("gat", "Graph attention", ("nodes", "links"), "arXiv:1710.10903"),
        Architecture("dna", "Dynamic neighbourhood", ("nodes",), "arXiv:1904.04849"),
    )
}

TASKS = {
    one.name: one
    for one in (
        Task("scene", "Ray-traced scene", "views", stands_for=("nerf-synthetic",)),
        Task("scene-front", "Ray-traced scene, seen from the front", "views", stands_for=("llff",)),
        Task("clicks", "Click model", "clicks", stands_for=("criteo",)),
        Task("blocks-cora", "Block graph like Cora", "nodes", stands_for=("cora",)),
        Task("blocks-citeseer", "Block graph like CiteSeer", "nodes", stands_for=("citeseer",)),
        Task("blocks-pubmed", "Block graph like PubMed", "nodes", stands_for=("pubmed",)),
        Task(
            "block-links",
            "Links of a block graph",
            "links",
            stands_for=("cora-links", "citeseer-links", "pubmed-links"),
        ),
        Task(
            "nerf-synthetic",
            "NeRF-Synthetic",
            "views",
            "transforms_{train,val,test}.json and their PNG images",
            ("transforms_train.json",),
        ),
        Task(
            "llff",
            "LLFF-Real",
            "views",
            "poses_bounds.npy and a folder images_8, images_4 or images",
            ("poses_bounds.npy",),
        ),
        Task(
            "criteo",
            "Criteo",
            "clicks",
            "train.txt (tab-separated) or one .csv with a header; or give the file itself",
            ("train.txt", "*.csv"),
        ),
        *(
            Task(
                f"{name}{ending}",
                f"{title}{told}",
                domain,
                _PLANETOID.format(name=name),
                (f"{name}.npz", f"ind.{name}.graph"),
            )
            for name, title in (("cora", "Cora"), ("citeseer", "CiteSeer"), ("pubmed", "PubMed"))
            for ending, told, domain in _GRAPH_TASKS
        ),
    )
}
