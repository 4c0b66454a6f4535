"""The shape and the variants that determine a model. No torch here, so that plans are made without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchsuite import components
from benchsuite.errors import UserError

if TYPE_CHECKING:
    from benchsuite.records.params import SpeedParams, TrainingParams

MATCHINGS = ("iso-parameter", "iso-width")
ARCHITECTURES = {
    "causal": "a decoder in which a token sees itself and what came before",
    "prefix": "the same decoder, the tokens of a given prefix seeing one another as well (non-causal decoder)",
    "encdec": "an encoder of as many blocks for the prefix, and a decoder that also looks at what it made of it",
}
# These add nothing to the embedding. With any other position scheme the result depends on where the embedding is
# normalised: before positions are added, or after.
BESIDE_THE_EMBEDDING = ("none", "rotary", "alibi", "t5")
FFN_MULTIPLE = 8  # d_ff of a gated variant is rounded to this, as 5456 was in the original study's SwiGLU run


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A decoder in the manner of GPT-3: pre-LN, biases, dense attention, tied embeddings.

    `seq` is the training length in tokens, `vocab` the number of token ids. `matching` decides the width of a gated
    feed-forward block: `iso-parameter` gives it the parameters of the plain one (d_ff = 2/3 · 4 · width), `iso-width`
    the plain one's d_ff. `architecture` is one of ARCHITECTURES. Raises UserError for a shape that cannot be or a
    variant that is not there.

    An encoder-decoder has `layers` blocks in each of its halves. A token passes through one half alone, so that its
    FLOPs are those of the decoder at about twice the parameters, as in arXiv:2204.05832; what the cross-attention adds
    is not taken off elsewhere. `fills` says how the model reads: trained by span corruption, it continues a text by
    filling a gap at its end, for which the token `vocab - 1` stands.
    """

    layers: int
    width: int
    heads: int
    vocab: int
    seq: int
    activation: str = "gelu"
    position: str = "learned"
    embedding_norm: str = "off"
    learning_rule: str = "backprop"
    matching: str = "iso-parameter"
    tied: bool = True
    norm_eps: float = 1e-5
    architecture: str = "causal"
    fills: bool = False

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "vocab", "seq"):
            if getattr(self, name) < 1:
                raise UserError(f"model.{name} is {getattr(self, name)}; it must be at least 1")
        if self.width % self.heads:
            raise UserError(
                f"model.width {self.width} cannot be shared by {self.heads} heads",
                hint="make width a multiple of heads",
            )
        if self.matching not in MATCHINGS:
            raise UserError(f"unknown matching {self.matching!r}", hint=f"choose from: {', '.join(MATCHINGS)}")
        if self.architecture not in ARCHITECTURES:
            raise UserError(
                f"unknown architecture {self.architecture!r}", hint=f"choose from: {', '.join(ARCHITECTURES)}"
            )
        if self.position == "rotary" and self.head_dim % 2:
            raise UserError(
                f"rotary positions need an even head size; {self.width} / {self.heads} heads is odd",
                hint="make width an even multiple of heads",
            )
        if (reason := unsupported(self.architecture, self.position)) is not None:
            raise UserError(reason, hint="choose another position scheme")
        for component in components.COMPONENTS:
            components.get(component, getattr(self, component))
        if (reason := untaught(self.learning_rule, self.architecture)) is not None:
            raise UserError(reason, hint="choose the learning rule backprop, or a causal decoder")

    def to_json(self) -> dict[str, Any]:
        """The fields, and with them `norm_place`: what `from_json` reads."""
        return told(asdict(self)) | norm_place(self.embedding_norm, self.position)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ModelSpec:
        """The spec that `to_json` told. Raises UserError for a model whose embedding norm is in another place than
        here, and TypeError for fields that a spec does not have."""
        given = dict(fields)
        place = given.pop("embedding_norm_place", None)
        spec = cls(**given)
        if place != norm_place(spec.embedding_norm, spec.position).get("embedding_norm_place"):
            raise UserError(
                f"the model normalises the sum of word and position ({spec.position} positions, embedding norm "
                f"{spec.embedding_norm}); this benchsuite normalises the word and then adds the position",
                hint="train the model again, or use the version of benchsuite that trained it",
            )
        return spec

    @classmethod
    def of_speed_case(cls, params: SpeedParams) -> ModelSpec:
        """Return the model whose layer or step a speed case times, from the parameters of the case. Raises UserError
        for a shape that no model can have."""
        variants: dict[str, Any] = {**(params.shape.variants or {}), params.component: params.variant}
        return cls(**params.shape.sizes, **variants, matching=params.matching)

    @classmethod
    def of_training(cls, params: TrainingParams) -> ModelSpec:
        """Return the model that a case trains. Raises UserError as `from_json`."""
        return cls.from_json(params.model.json())

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def gated(self) -> bool:
        return components.get("activation", self.activation).gated

    @property
    def d_ff(self) -> int:
        """The width of the feed-forward block: 4 · width, or for a gated one as `matching` says."""
        if not self.gated or self.matching == "iso-width":
            return 4 * self.width
        return max(1, round(8 * self.width / 3 / FFN_MULTIPLE)) * FFN_MULTIPLE


def told(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return `fields`, variants by component among others, without a learning rule that is backpropagation: what is
    stored of models and cases says the rule only where it is another, as there was once no other."""
    return {key: value for key, value in fields.items() if (key, value) != ("learning_rule", "backprop")}


def norm_place(embedding_norm: str, position: str) -> dict[str, str]:
    """Return the place where the embedding is normalised, for what is stored of a model and for the identity of a case.

    It is written only where it matters. Models and cases that should have it and do not are of earlier versions, which
    normalised the sum of word and position.
    """
    matters = embedding_norm != "off" and position not in BESIDE_THE_EMBEDDING
    return {"embedding_norm_place": "before positions"} if matters else {}


def unsupported(architecture: str, position: str) -> str | None:
    """Return why there is no such architecture with this position scheme; None where there is."""
    if architecture != "causal" and position == "none":
        return (
            f"a model of architecture {architecture!r} needs positions: tokens that all see one another have no order"
        )
    return None


def untaught(learning_rule: str, architecture: str, objective: str = "lm") -> str | None:
    """Return why a learning rule does not teach this architecture this objective; None where it does.

    The error of a token goes to the same token in every block, which there is where every token is predicted.
    """
    if learning_rule == "backprop" or (architecture == "causal" and objective == "lm"):
        return None
    what = f"a model of architecture {architecture!r}" if architecture != "causal" else f"the objective {objective!r}"
    return f"the learning rule {learning_rule!r} teaches causal decoders full language modelling, not {what}"
