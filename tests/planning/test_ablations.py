"""The ablation suites at all scales: they resolve, ask what they say, and say what they would take."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchsuite.cli import build_app
from benchsuite.engine import estimate
from benchsuite.errors import UserError
from benchsuite.model import flops
from benchsuite.model.spec import ModelSpec
from benchsuite.planning import stages, training_budget
from benchsuite.planning.plan import Machine, Plan, resolve
from benchsuite.pretrain.ranks import Ranks
from benchsuite.records.params import TrainConfig
from benchsuite.suite.source import packaged, read, scales

ABLATIONS = [name for name in packaged() if name.startswith("ablation-")]
WIDTHS = {"nano": 96, "125m": 768, "350m": 1024, "760m": 1536, "1b3": 2048}
BLOOM = {
    # huggingface.co/bigscience: parameters of the published models, vocabulary of 250,880
    "bloom-560m": 559_214_592,
    "bloom-1b1": 1_065_314_304,
    "bloom-1b7": 1_722_408_960,
    "bloom-3b": 3_002_557_440,
    "bloom-7b1": 7_069_016_064,
    "bloom-176b": 176_247_271_424,
}


def plan(name: str, scale: str | None = None) -> Plan:
    return resolve(read(name, scale=scale), Machine(cores=2))


@pytest.mark.parametrize("scale", [None, *WIDTHS])
@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_resolves_at_every_scale(name: str, scale: str | None) -> None:
    found = plan(name, scale)
    assert found.suite.scale == (scale or "nano")
    compared = [comparison for comparison in found.comparisons if comparison.kind == "quality"]
    assert compared
    assert any(comparison.kind == "control" for comparison in found.comparisons)
    widths = {case.params["model"]["width"] for case in found.cases if "model" in case.params}
    assert widths == {WIDTHS[scale or "nano"]}
    for case in found.cases:
        if "train" in case.params:
            assert TrainConfig(**case.params["train"]).steps(case.params["model"]["seq"]) >= 100, case.label


@pytest.mark.parametrize("scale", BLOOM)
def test_bloom_s_sizes_are_the_published_ones(scale: str) -> None:
    assert {*scales()} == {*WIDTHS, *BLOOM}
    base = next(case for case in plan("bloom", scale).cases if case.label == "baseline/quality")
    spec = ModelSpec.from_json(base.params["model"])
    assert (spec.position, spec.activation, spec.embedding_norm) == ("alibi", "gelu", "on")
    assert flops.parameters(spec) == BLOOM[scale]


def test_nano_ablations_fit_half_an_hour() -> None:
    for name in (*ABLATIONS, "bloom"):
        assert estimate.of(plan(name), 2).planned_s < 1800, name


def test_the_published_size_and_recipe() -> None:
    base = next(case for case in plan("ablation-position", "1b3").cases if case.label == "baseline/quality")
    # bigscience-workshop/bigscience, train/tr3-1B3-baseline
    assert flops.parameters(ModelSpec.from_json(base.params["model"])) == 1_315_723_264
    train = base.params["train"]
    assert (train["batch"], train["lr"], train["beta2"]) == (512, 2e-4, 0.999)
    assert train["min_lr"] * train["lr"] == pytest.approx(1e-5)
    assert train["warmup"] * train["decay_tokens"] == pytest.approx(375e6)


def test_widths_are_matched_in_both_ways() -> None:
    found = plan("ablation-activation")
    labels = {case.label for case in found.cases}
    assert {"activation/swiglu/quality", "activation/swiglu/iso-width/quality"} <= labels
    assert "activation/relu2/iso-width/quality" not in labels, "it is the same model as at equal parameters"
    matchings = {c.matching for c in found.comparisons if c.kind == "quality"}
    assert matchings == {"iso-parameter", "iso-width"}


def test_stability_trains_each_model_at_each_rate_and_precision() -> None:
    found = plan("ablation-embedding-norm")
    cases = [case for case in found.cases if case.kind == "stability"]
    assert len(cases) == 2 * 4 * 3
    compared = [comparison for comparison in found.comparisons if comparison.kind == "stability"]
    by_id = {case.id: case for case in cases}
    for comparison in compared:
        ours, base = by_id[comparison.case].params, by_id[comparison.base_case].params
        assert ours["train"] == base["train"]
        assert (ours["model"]["embedding_norm"], base["model"]["embedding_norm"]) == ("on", "off")
    assert len(compared) == 12


def test_longest_is_part_of_a_case_only_where_it_is_asked() -> None:
    assert plan("ablation-position").cases[-1].params["longest"] == 1024
    assert "longest" not in plan("ablation-activation").cases[-1].params


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scale: huge\n", "no scale 'huge'"),
        ("scale: nano\nat: {huge: {}}\n", "names of scales"),
        ("scale: nano\nat: [nano]\n", "names of scales"),
    ],
)
def test_scales_that_are_not_there_are_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\nquality: {{variants: {{position: alibi}}}}\n{text}")
    with pytest.raises(UserError, match=said) as error:
        read(str(path))
    assert "mine.yaml:3" in error.value.message or "mine.yaml:4" in error.value.message


def test_a_suite_of_one_size_says_so() -> None:
    with pytest.raises(UserError, match="one size only"):
        read("micro", scale="1b3")


def test_a_budget_is_arithmetic() -> None:
    found = plan("ablation-position", "1b3")
    base = next(b for b in training_budget.of(found, gpus=8) if b.label == "baseline/quality")
    assert base.tokens == 112_280_000_000
    # 6 FLOPs a parameter and token, and attention on top (arXiv:2203.15556, appendix F)
    assert 6 * base.parameters * base.tokens < base.flops < 1.4 * 6 * base.parameters * base.tokens
    assert base.hours(training_budget.GPUS["A100"], 0.4) == pytest.approx(base.flops / (0.4 * 312e12) / 3600)
    assert base.hours(training_budget.GPUS["H100"], 0.4) < base.hours(training_budget.GPUS["A100"], 0.4) / 3
    alone = next(b for b in training_budget.of(found, gpus=1) if b.label == "baseline/quality")
    assert alone.bytes_per_gpu > 16 * base.parameters > base.bytes_per_gpu
    with pytest.raises(ValueError, match="not known"):
        base.hours("Voodoo 2", 0.4)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [*WIDTHS, *BLOOM])
def test_the_trainings_that_a_plan_prints_commands_for_can_start(scale: str) -> None:
    for name in ABLATIONS if scale in WIDTHS else ("bloom",):
        found = plan(name, scale)
        gpus = 1 if scale == "nano" else 8
        assert training_budget.of(found, gpus)
        for case in found.cases:
            for stage in stages.of(case.training) if case.training else ():
                config = stage.train
                assert Ranks(0, gpus).share(config.sizes(stage.spec.seq), config.micro_batch) == slice(0, None, gpus)


def test_gpus_that_cannot_share_a_batch_are_refused_before_they_are_paid_for() -> None:
    done = CliRunner().invoke(build_app(), ["plan", "ablation-position", "--scale", "1b3", "--gpus", "16"])
    assert isinstance(done.exception, UserError)
    assert "a batch of 32 sequences cannot be shared by 16 processes" in done.exception.message


def test_the_plan_shows_the_budget_and_the_commands() -> None:
    fit = ["--set", "quality.train.micro_batch=2"]
    done = CliRunner().invoke(build_app(), ["plan", "ablation-position", "--scale", "1b3", "--gpus", "16", *fit])
    assert done.exit_code == 0, done.output
    assert "A100-hours" in done.output
    assert "--launcher torchrun --ranks 16" in done.output
    assert "--device cuda --set quality.train.micro_batch=2 --launcher" in done.output
    assert "--only 'position/alibi/quality'" in done.output
