"""Which devices there are, what each is called, and which one is taken where nothing is said."""

from __future__ import annotations

import pytest

from benchsuite import devices
from benchsuite.devices import Seen, cuda
from benchsuite.errors import UserError
from benchsuite.hardware import fingerprint

H100 = "NVIDIA H100 80GB HBM3"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No accelerator, whatever machine the tests run on."""
    for kind in devices.accelerators():
        monkeypatch.setattr(kind, "seen", classmethod(lambda cls: Seen()))


def here(monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    monkeypatch.setattr(cuda.CUDA, "seen", classmethod(lambda cls: seen))


def test_every_file_of_the_room_is_a_kind_of_device() -> None:
    assert list(devices.kinds()) == ["cpu", "cuda", "mps", "xpu", "fake"]
    assert [kind.kind for kind in devices.accelerators()] == ["cuda", "mps", "xpu"]


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "mps:1", "cuda:", "cuda:x", "cuda:-1", ""])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="unknown device"):
        devices.named(name)


@pytest.mark.parametrize(
    ("names", "words"),
    [("cuda:0,cuda", "each has a number"), ("cuda:0,cpu", "each has a number"), ("cuda:1,cuda:1", "twice")],
)
def test_devices_that_cannot_be_shared_out_are_refused(names: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        devices.several(names)


def test_without_an_accelerator_the_cpu_is_taken_and_that_is_said() -> None:
    assert str(devices.choose()) == "device: cpu, since there is no accelerator here"


def test_all_gpus_are_taken_or_one_where_a_command_takes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, Seen((H100,)))
    assert str(devices.choose()) == f"device: cuda, {H100}"
    here(monkeypatch, Seen((H100, H100)))
    assert devices.choose().device == "cuda:0,cuda:1"
    assert str(devices.choose(many=False)) == f"device: cuda, {H100}, the first of 2"


def test_what_is_asked_for_is_taken_if_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, Seen((H100,)))
    assert devices.choose("cpu").device == "cpu"
    assert devices.choose("cuda:0").device == "cuda:0"
    with pytest.raises(UserError, match="only 1 of them"):
        devices.choose("cuda:1")
    here(monkeypatch, Seen())
    with pytest.raises(UserError, match="no GPU is visible here"):
        devices.choose("cuda")


@pytest.mark.parametrize(("driver", "wheels"), [("13.1", "cu130"), ("12.8", "cu128"), ("12.4", "cu126")])
def test_a_torch_without_cuda_beside_a_driver_is_told_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, driver: str, wheels: str
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(cuda, "_visible", lambda: ((H100,), driver, "driver 580"))
    monkeypatch.setattr(fingerprint, "torch_backends", dict)
    choice = devices.choose()
    assert choice.device == "cpu"
    assert f"built without CUDA, though the driver shows {H100}: pip install torch --index-url" in choice.why
    assert choice.why.endswith(wheels)
    with pytest.raises(UserError, match="built without CUDA") as caught:
        devices.choose("cuda")
    assert (caught.value.hint or "").endswith(wheels)


def test_accelerators_compute_in_bfloat16_and_cpus_in_float32() -> None:
    found = {name: devices.named(name).dtype("layer") for name in ("cpu", "cuda:1", "mps", "xpu")}
    assert found == {"cpu": "float32", "cuda:1": "bfloat16", "mps": "bfloat16", "xpu": "bfloat16"}


def test_one_lock_for_the_cpu_and_one_for_each_gpu() -> None:
    assert [device.lock_name for device in devices.several("cuda:0,cuda:1")] == ["cuda-0", "cuda-1"]
    assert devices.named("cuda").lock_name == "cuda-0", "as cuda:0"
    assert devices.named("cpu").lock_name == "machine"


def test_a_rank_has_a_gpu_of_its_own() -> None:
    assert devices.named("cuda").for_rank(3).name == "cuda:3"
    assert devices.named("cuda:1").for_rank(3).name == "cuda:1"
    assert devices.named("cpu").for_rank(3).name == "cpu"
