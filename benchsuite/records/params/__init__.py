"""The parameters of a case as types, a class for each kind (`benchsuite.records.case.KINDS` says which).

Runs and jobs hold them as canonical JSON, from whose hash a case has its id. Every class reads that JSON and gives it
again, key by key:

>>> told = {"corpus": "curated", "bytes": 40_000}
>>> HeldoutParams.read(told).json() == told
True
"""

from benchsuite.records.params.base import Params, Part, ProcessParams, TimedParams, UnknownParams
from benchsuite.records.params.rules import RuleParams, RuleStepParams
from benchsuite.records.params.speed import (
    CheckParams,
    EvaluationParams,
    ModelShape,
    OperatorParams,
    PytestParams,
    Sizes,
    SpeedParams,
)
from benchsuite.records.params.train import TrainConfig
from benchsuite.records.params.training import (
    CorpusParams,
    HeldoutParams,
    ModelParams,
    StageParams,
    TasksParams,
    TokenizerParams,
    TrainingParams,
)

__all__ = [
    "CheckParams",
    "CorpusParams",
    "EvaluationParams",
    "HeldoutParams",
    "ModelParams",
    "ModelShape",
    "OperatorParams",
    "Params",
    "Part",
    "ProcessParams",
    "PytestParams",
    "RuleParams",
    "RuleStepParams",
    "Sizes",
    "SpeedParams",
    "StageParams",
    "TasksParams",
    "TimedParams",
    "TokenizerParams",
    "TrainConfig",
    "TrainingParams",
    "UnknownParams",
]
