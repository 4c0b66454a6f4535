"""The original study's tasks under today's names."""

from __future__ import annotations

from typing import Any

import pytest
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from benchsuite.zeroshot import bigscience


@pytest.mark.slow
def test_lm_eval_has_all_27_and_their_metrics(manager: TaskManager) -> None:
    assert len({task.original for task in bigscience.TASKS}) == len(bigscience.BY_NAME) == 27
    for task in bigscience.TASKS:
        config: dict[str, Any] = load_yaml(manager.task_index[task.name].yaml_path, resolve_func=False)
        assert config["task"] == task.name
        metrics = {metric["metric"] for metric in config["metric_list"]}
        filters = {one["name"] for one in config.get("filter_list", [])} or {""}
        metric, _, name = task.metric.partition(",")
        assert metric in metrics, task.name
        assert name in filters, task.name


def test_the_random_mean_is_the_authors() -> None:
    # 32.72, from the random baselines of evaluation/results/tr3 at the 27 accuracies
    assert 100 * sum(task.random for task in bigscience.TASKS) / 27 == pytest.approx(32.72, abs=0.01)


def test_the_numbers_of_documents_follow_from_published_errors() -> None:
    # accuracy and standard error at 112B tokens, tr3d-1B3-oscar-checkpoints_agg.json
    published = {
        "arc_challenge": (0.24914675767918087, 0.012639407111926432),
        "lambada": (0.48088492140500677, 0.006960885251192216),
        "multirc": (0.026232948583420776, 0.005180034087040345),
        "triviaqa": (0.024750287280120215, 0.0014607582218542207),
        "wnli": (0.43661971830985913, 0.0592793555841297),
    }
    for task in bigscience.TASKS:
        if task.original in published:
            acc, stderr = published[task.original]
            assert acc * (1 - acc) / stderr**2 + 1 == pytest.approx(task.documents, abs=0.01), task.original


def test_the_normalised_mean() -> None:
    guessed, stderr = bigscience.normalised_mean({task.name: task.guess for task in bigscience.TASKS})
    assert guessed == pytest.approx(0)
    assert stderr is None
    scores = {"piqa": 1.0, "hellaswag": 0.7, "another": 0.0}  # 1 and 0.6 of the way from guessing to all right
    errors = {"piqa": 0.03, "hellaswag": 0.06, "another": 1.0}
    assert bigscience.normalised_mean(scores, errors) == pytest.approx((0.8, (0.06**2 + 0.08**2) ** 0.5 / 2))
    assert bigscience.normalised_mean(scores, {"piqa": 0.03})[1] is None
    with pytest.raises(ValueError, match="none of the 27"):
        bigscience.normalised_mean({"another": 0.5})


def test_guessing_is_that_of_todays_metric() -> None:
    assert bigscience.BY_NAME["multirc"].guess == 0.5
    assert bigscience.BY_NAME["mathqa"].guess == 0.2
    assert bigscience.BY_NAME["piqa"].guess == bigscience.BY_NAME["piqa"].random == 0.5


def test_what_is_missing_offline_is_said() -> None:
    missing = "headqa_en logiqa mathqa multirc prost pubmedqa qnli qqp race webqs wic wnli wsc"
    assert bigscience.missing_offline() == missing.split()
