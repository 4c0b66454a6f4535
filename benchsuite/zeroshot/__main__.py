"""lm-eval's command line with our models in it: `python -m benchsuite.zeroshot --model benchsuite ...`.

It also knows the transformers class of exported folders, so that `--model hf` loads those without `trust_remote_code`.
"""

from lm_eval.__main__ import cli_evaluate

import benchsuite.model.bridge
import benchsuite.zeroshot.lm  # noqa: F401

if __name__ == "__main__":
    cli_evaluate()
