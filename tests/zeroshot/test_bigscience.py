"""The original study's tasks under today's names."""

from __future__ import annotations

import pytest
from lm_eval.tasks import TaskManager

from benchsuite.zeroshot import bigscience


def test_there_are_27_and_lm_eval_has_them_all() -> None:
    assert len({task.original for task in bigscience.TASKS}) == 27
    known = TaskManager().task_index
    for task in bigscience.TASKS:
        assert task.name in known, task.name


def test_the_random_mean_is_the_authors() -> None:
    # 32.72, from the random baselines of evaluation/results/tr3 at the 27 accuracies
    assert 100 * sum(task.random for task in bigscience.TASKS) / 27 == pytest.approx(32.72, abs=0.01)


def test_the_normalised_mean() -> None:
    assert bigscience.normalised_mean({task.name: task.random for task in bigscience.TASKS}) == pytest.approx(0)
    assert bigscience.normalised_mean({"piqa": 1.0, "hellaswag": 0.25, "another": 0.0}) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="none of the 27"):
        bigscience.normalised_mean({"another": 0.5})


def test_what_is_missing_offline_is_said() -> None:
    missing = bigscience.missing_offline()
    assert "race" in missing
    assert "piqa" not in missing
