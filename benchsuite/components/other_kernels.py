"""Other people's kernels as implementations of components: FlexAttention, flash-attn, xformers, Liger Kernel.

They are used where they are installed and where they support the device; elsewhere a case is `unsupported` with the
reason. None is needed by benchsuite itself. Imports no torch, so that a plan is there at once.
"""

from __future__ import annotations

import importlib.util

ATTENTION = ("flex", "flash_attn", "xformers")
ACTIVATION = ("liger",)
PACKAGES = {"flash_attn": "flash-attn", "xformers": "xformers", "liger": "liger-kernel"}
_MODULES = {"flash_attn": "flash_attn", "xformers": "xformers", "liger": "liger_kernel"}


def unavailable_reason(implementation: str, dtype: str, *, on_cpu: bool, installed: bool | None = None) -> str | None:
    """Return why this implementation cannot run here; None where it can, and for names that are none of these.
    `installed` says whether its package is there; None: as it is in this environment."""
    if implementation not in ATTENTION + ACTIVATION:
        return None
    if on_cpu:
        what = (
            "FlexAttention has no backward pass"
            if implementation == "flex"
            else f"{PACKAGES[implementation]} has no kernels"
        )
        return f"{what} for the CPU"
    if installed is None and implementation in _MODULES:
        installed = importlib.util.find_spec(_MODULES[implementation]) is not None
    if installed is False:
        return f"{PACKAGES[implementation]} is not installed: pip install {PACKAGES[implementation]}"
    if implementation == "flash_attn" and dtype not in ("bfloat16", "float16"):
        return f"flash-attn computes in bfloat16 and float16, not in {dtype}"
    return None
