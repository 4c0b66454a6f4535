"""How names of corpora are put together. No corpus is needed to read one, so that plans are made without them."""

from __future__ import annotations

FACTS = "facts-"  # so begin those of facts in several languages, which have tasks of their own; then comes the language
MIX = "mix:"  # so begin mixtures: mix:LANGUAGES@ALPHA:NAME, with PLACE in the name
PLACE = "{language}"  # in a name: each of the languages that are read
