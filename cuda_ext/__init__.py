"""The custom C++/CUDA operators: torch.ops.benchsuite, and one module here for each operator family.

    from benchsuite import cuda_ext

    reason = cuda_ext.unavailable_reason()      # None, or why there are none and what would fix it
    cuda_ext.load()                             # the library, built at the first use in a checkout

Nothing heavy is imported with this package.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import TYPE_CHECKING

from benchsuite.errors import UserError

if TYPE_CHECKING:
    from benchsuite.cuda_ext.library import Library

# Each is a module here with `register()`, which gives its operators their fake and autograd implementations.
FAMILIES = ("activation", "norm", "rotary", "softmax", "attention", "cross_entropy", "linear", "adamw")


def load() -> Library:
    """Load the library once, built first where need be, and register the operator families.

    Raises UserError, with the way out, where there is no library and none can be built, or where it does not load.
    """
    return _load()


# torch.compile takes what load() returns while it traces as a constant, and does not look inside.
load._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.cache
def _load() -> Library:
    import torch

    from benchsuite.cuda_ext.build_plan import selected
    from benchsuite.cuda_ext.library import locate

    library = locate(build_allowed=True)
    assert library is not None
    try:
        torch.ops.load_library(str(library.path))
    except OSError as error:
        raise UserError(
            f"the kernels in {library.path} do not load: {error.__cause__ or error}",
            hint="a wheel may come from a newer system than this one: build them here from a checkout"
            if library.origin == "wheel"
            else "`benchsuite kernels build --clean` builds them anew",
        ) from error
    for name in selected() or FAMILIES:
        if importlib.util.find_spec(f"benchsuite.cuda_ext.{name}"):
            importlib.import_module(f"benchsuite.cuda_ext.{name}").register()
    return library


def prepare() -> None:
    """Build the library where it must be, and load nothing: before processes start whose time is measured.

    Raises UserError as `load` does.
    """
    from benchsuite.cuda_ext.library import locate

    locate(build_allowed=True)


@functools.cache
def unavailable_reason() -> str | None:
    """Return why the operators cannot run here and the way out, or None where they can.

    Builds nothing: where a compiler is there and the library is not, the first `load()` builds it. A build of the same
    sources that has failed is remembered, and is a reason.
    """
    from benchsuite.cuda_ext.library import locate

    try:
        locate()
    except UserError as error:
        return str(error)
    return None
