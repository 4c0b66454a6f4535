"""benchsuite measures what an architectural choice of a language model costs in speed and buys in zero-shot quality."""

__version__ = "0.1.0"
