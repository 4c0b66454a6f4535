"""Read pickles that hold nothing but arrays, sparse matrices and plain containers.

Planetoid's files are pickles of Python 2, and there is no other official form. A pickle may call any function by name;
this reader knows the few names that arrays, sparse matrices and containers need, with functions of its own behind them,
and refuses every other name before anything is called.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchsuite.errors import UserError

MOST_BYTES = 2**30


class _Array:
    """Stands for numpy.ndarray, which a pickle could otherwise call with any size."""


class _State:
    """A sparse matrix as the pickle describes it: attributes alone, which are checked before scipy sees them."""


def _array(kind: Any, shape: tuple[int, ...], code: bytes | str) -> np.ndarray[Any, Any]:
    """An empty array whose contents the pickle sets next, as numpy's `_reconstruct` makes it."""
    if kind is not _Array or math.prod(shape) > MOST_BYTES:
        raise pickle.UnpicklingError("an array of another class")
    return np.ndarray(shape, dtype=code.decode() if isinstance(code, bytes) else code)


def _bytes(text: str, encoding: str) -> bytes:
    """Return how Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("bytes in another encoding than latin1")
    return text.encode(encoding)


def _lists(kind: Any) -> dict[Any, list[Any]]:
    """`defaultdict(list)`; any other factory would be called for missing keys."""
    if kind is not list:
        raise pickle.UnpicklingError("a defaultdict of another kind than list")
    return defaultdict(list)


def _matrix_state(kind: Any, base: Any, state: Any) -> _State:
    """Return what `copyreg` does for objects of old protocols."""
    if not (isinstance(kind, type) and issubclass(kind, _State)):
        raise pickle.UnpicklingError("an object of another class than a sparse matrix")
    return kind()


_NAMES: dict[str, Any] = {
    "numpy.core.multiarray._reconstruct": _array,
    "numpy._core.multiarray._reconstruct": _array,
    "numpy.ndarray": _Array,
    "numpy.dtype": np.dtype,
    "_codecs.encode": _bytes,
    "collections.defaultdict": _lists,
    "__builtin__.list": list,
    "builtins.list": list,
    "__builtin__.object": None,  # a base class that `_matrix_state` does not use
    "builtins.object": None,
    "copy_reg._reconstructor": _matrix_state,
    "copyreg._reconstructor": _matrix_state,
}
_MATRICES = ("scipy.sparse.csr.csr_matrix", "scipy.sparse._csr.csr_matrix")


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in _MATRICES:
            return type("State", (_State,), {})  # a class of this file alone, whatever the pickle does to it
        if full not in _NAMES:
            raise pickle.UnpicklingError(f"it names {full}")
        return _NAMES[full]

    def persistent_load(self, identity: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


def read(path: Path) -> Any:
    """The array, sparse matrix or dictionary of lists in the file `path`.

    Raises UserError where the file is missing, is no pickle, or names anything but such data.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} has more than {MOST_BYTES // 2**20} MiB, which no Planetoid file has")
        found = _Reader(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        return _matrix(found) if isinstance(found, _State) else found
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", hint="see `data` of the task") from error
    except UserError:
        raise
    except Exception as error:  # a broken pickle raises anything
        raise UserError(
            f"{path} is no pickle of arrays alone: {str(error)[:200] or type(error).__name__}",
            hint="take the file from github.com/kimiyoung/planetoid",
        ) from error


def _matrix(state: _State) -> sparse.csr_matrix:
    told = vars(state)
    shape = told.get("_shape", told.get("shape"))
    found = sparse.csr_matrix((told["data"], told["indices"], told["indptr"]), shape=shape)
    found.check_format(full_check=True)
    return found
