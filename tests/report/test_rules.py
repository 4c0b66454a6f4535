"""The section of the rules of learning: fractions, verdicts, expectations, pictures, published figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.make_run import Builder

from benchsuite.report.join import join
from benchsuite.report.render import render
from benchsuite.report.rules import expectations

LEVELS = {"backprop": 0.80, "dfa": 0.75, "shallow": 0.60}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def rule_run(folder: Path, levels: dict[str, dict[str, float]], *, seeds: int = 4, metric: str = "AUC") -> Path:
    """A run of architectures on `clicks` (NeRF on `scene`), with their scores by rule."""
    b = Builder(0)
    for architecture, scores in levels.items():
        task = "scene" if architecture == "nerf" else "clicks"
        base = ""
        for rule, level in scores.items():
            params = {"architecture": architecture, "task": task, "rule": rule}
            key = b.case("rule", f"{architecture}/{task}/{rule}", params, seeds)
            base = base or key
            for seed in range(seeds):
                wobble = 0.004 * (seed % 3) + 0.001 * ((seed + len(rule)) % 2)
                pictures = {"truth": PIXEL, "rendered": PIXEL} if architecture == "nerf" else None
                b.record(key, seed, {
                    "scores": {metric: level + wobble, "log_loss": 0.5}, "validation": level,
                    "lr": 0.001 * (1 + seed % 2),
                    "best_step": 50, "steps": 100, "parameters": 1000, "curve": [[0, 0.5], [50, level]],
                    "tried": [{"lr": 0.001, "regularisation": 1.0, "validation": level}] * 3, "search_time_s": 2.0,
                    "angles": {"a": 0.2, "b": 0.4} if rule == "dfa" else {}, "about": {"chance": 0.5, "ceiling": 0.9},
                    "pictures": pictures,
                })  # fmt: skip
            if key != base:
                b.comparisons.append({
                    "kind": "rule", "component": "learning_rule", "variant": rule, "baseline": "backprop",
                    "case": key, "base_case": base,
                })  # fmt: skip
    return b.write(folder, "dfa")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return rule_run(tmp_path / "run", {"dcn": LEVELS, "nerf": LEVELS, "afn": dict.fromkeys(LEVELS, 0.7)})


def test_the_part_of_the_way_and_the_verdicts(folder: Path) -> None:
    dcn, _, flat = join([folder])["rules"]
    assert dcn["fraction"]["value"] == pytest.approx(0.75, abs=0.01)
    assert dcn["fraction"]["low"] < 0.75 < dcn["fraction"]["high"]
    assert dcn["dfa_over_shallow"]["verdict"] == dcn["backprop_over_dfa"]["verdict"] == "better"
    assert flat["fraction"]["value"] is None
    assert flat["fraction"]["reason"] == "the way is unresolved"
    assert dcn["rules"]["dfa"]["angle"] == pytest.approx(0.3)
    assert dcn["rules"]["dfa"]["trainings"] == 12
    assert dcn["published"]["Criteo"]["verified"]


def test_what_is_expected_and_what_came_out(folder: Path, tmp_path: Path) -> None:
    assert [told["met"] for told in expectations(join([folder])["rules"])] == [True, True]
    upside_down = {"backprop": 0.60, "dfa": 0.70, "shallow": 0.80}
    document = join([rule_run(tmp_path / "other", {"dcn": upside_down})])
    assert [told["met"] for told in expectations(document["rules"])] == [False, False]
    page = render(document, "md")
    assert "Backpropagation is ahead in 0 of 1, and DFA with Deep" in page
    assert page.count("not as expected.") == 2
    assert not document["warnings"]


def test_one_seed_judges_nothing(tmp_path: Path) -> None:
    document = join([rule_run(tmp_path / "run", {"dcn": LEVELS}, seeds=1)])
    assert document["rules"][0]["fraction"]["reason"] == "one seed"
    assert {told["met"] for told in expectations(document["rules"])} == {None}


def test_the_page_shows_scores_pictures_and_published_figures(folder: Path) -> None:
    document = join([folder])
    html, markdown = render(document, "html"), render(document, "md")
    assert html.count(f"data:image/png;base64,{PIXEL}") == 8  # the scene and three rules, for wide and narrow pages
    for page in (html, markdown):
        assert "DFA goes 75%" in page
        assert all(score in page for score in ("0.810", "0.801", "0.732"))
        assert "the way is unresolved" in page
        assert "108 trainings" in page


def test_a_picture_that_is_no_base64_is_refused(tmp_path: Path) -> None:
    from benchsuite.errors import UserError

    folder = rule_run(tmp_path / "run", {"nerf": LEVELS})
    records = folder / "records.jsonl"
    records.write_text(records.read_text().replace(PIXEL, '\\"><script>', 1))
    with pytest.raises(UserError, match="pictures"):
        join([folder])
