"""Each side of a gate imports its own code, however the project is laid out, built and installed; or it is refused."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support import repository
from support.repository import FAST_S, SETUPTOOLS, SLOW_S, TESTS, WORK

pytestmark = pytest.mark.slow

# Prints where the base and what is here import the module from, as a gate would start and collect them.
ASK = """
import json, sys
from benchsuite.errors import UserError
from benchsuite.gating import origins, sides
targets, module, base, head = json.loads(sys.argv[1])
try:
    found = []
    for words in (base, head):
        side = sides.parse(words, lambda text: print(text, file=sys.stderr))
        side.plan(targets, "cpu", [], [])
        asked = origins.Asked(side.name, side.python, side.variables)
        found.append(asked.resolve([module], [], [])["modules"].get(module))
    print(json.dumps(found))
except UserError as error:
    print(json.dumps([error.exit_code, error.message, error.hint]))
"""


@dataclass
class Layout:
    """How a project is built: what it is made of beside the module that does the work."""

    files: dict[str, str]
    work: str  # the file of the module
    module: str
    needs: str = "setuptools"
    program: str = ""


def setuptools(name: str, more: str = "") -> dict[str, str]:
    return {"pyproject.toml": f'{SETUPTOOLS}[project]\nname = "{name}"\nversion = "1"\n{more}'}


LAYOUTS = {
    "setuptools flat": Layout(setuptools("tiny"), "tiny/__init__.py", "tiny"),
    "setuptools src": Layout(setuptools("tiny"), "src/tiny/__init__.py", "tiny"),
    "setuptools module": Layout(setuptools("tiny", '[tool.setuptools]\npy-modules = ["tiny"]\n'), "tiny.py", "tiny"),
    "setuptools namespace": Layout(
        setuptools("ns-tiny", '[tool.setuptools]\npackages = ["ns.tiny"]\n'), "ns/tiny/__init__.py", "ns.tiny"
    ),
    "setuptools other name": Layout(
        setuptools("a-project", '[tool.setuptools]\npackages = ["tiny"]\n'), "tiny/__init__.py", "tiny"
    ),
    "setuptools folder of another name": Layout(
        setuptools("tiny", '[tool.setuptools]\npackages = ["tiny"]\npackage-dir = {tiny = "code"}\n'),
        "code/__init__.py",
        "tiny",
    ),
    "setup.py": Layout(
        {"setup.py": 'from setuptools import setup\nsetup(name="tiny", version="1", packages=["tiny"])\n'},
        "tiny/__init__.py",
        "tiny",
    ),
    "hatchling": Layout(
        {"pyproject.toml": '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
         '[project]\nname = "tiny"\nversion = "1"\n'}, "tiny/__init__.py", "tiny", "hatchling"
    ),
    "hatchling src": Layout(
        {"pyproject.toml": '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
         '[project]\nname = "tiny"\nversion = "1"\n'}, "src/tiny/__init__.py", "tiny", "hatchling"
    ),
    "flit": Layout(
        {"pyproject.toml": '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
         '[project]\nname = "tiny"\nversion = "1"\ndescription = "x"\n'}, "tiny.py", "tiny", "flit_core"
    ),
    "poetry": Layout(
        {"pyproject.toml": '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
         '[tool.poetry]\nname = "tiny"\nversion = "1"\ndescription = "x"\nauthors = []\n'},
        "tiny/__init__.py", "tiny", "poetry.core",
    ),
    "meson-python": Layout(
        {"pyproject.toml": '[build-system]\nrequires = ["meson-python"]\nbuild-backend = "mesonpy"\n'
         '[project]\nname = "tiny"\nversion = "1"\n',
         "meson.build": "project('tiny', version: '1')\npy = import('python').find_installation(pure: true)\n"
         "py.install_sources('tiny/__init__.py', subdir: 'tiny')\n"},
        "tiny/__init__.py", "tiny", "mesonpy", "ninja",
    ),
    "scikit-build-core": Layout(
        {"pyproject.toml": '[build-system]\nrequires = ["scikit-build-core"]\n'
         'build-backend = "scikit_build_core.build"\n[project]\nname = "tiny"\nversion = "1"\n',
         "CMakeLists.txt": "cmake_minimum_required(VERSION 3.15)\nproject(tiny LANGUAGES NONE)\n"},
        "src/tiny/__init__.py", "tiny", "scikit_build_core", "cmake",
    ),
    "maturin": Layout(
        {"pyproject.toml": '[build-system]\nrequires = ["maturin"]\nbuild-backend = "maturin"\n'
         '[project]\nname = "tiny"\nversion = "1"\n[tool.maturin]\npython-source = "python"\nmodule-name = "tiny._n"\n',
         "Cargo.toml": '[package]\nname = "tiny"\nversion = "1.0.0"\nedition = "2021"\n'
         '[lib]\nname = "tiny"\ncrate-type = ["cdylib"]\n',
         "src/lib.rs": "#[no_mangle]\npub extern \"C\" fn PyInit__n() {}\n"},
        "python/tiny/__init__.py", "tiny", "maturin", "cargo",
    ),
}  # fmt: skip


@dataclass
class Project:
    """A repository with a commit `first` and three times slower after it, and the interpreter of an environment."""

    folder: Path
    python: Path
    layout: Layout
    variables: dict[str, str] = field(default_factory=dict)

    def ask(self, *base: str, head: str = ".", targets: tuple[str, ...] = ("tests",)) -> list[str | int]:
        """Where base and head import the module from, or what the gate refuses."""
        words = json.dumps([targets, self.layout.module, base or ["first"], [head]])
        done = self.call("-c", ASK, words)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout.splitlines()[-1]))

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "BENCHSUITE_CACHE": str(self.folder.parent / "cache"), "PYTHONSAFEPATH": "1"}
        env["PATH"] = repository.with_programs()
        command = [str(self.python), *words]
        return subprocess.run(
            command, cwd=self.folder, env=env | self.variables, capture_output=True, text=True, check=False
        )

    def work(self, seconds: float) -> dict[str, str]:
        return {self.layout.work: WORK.format(seconds=seconds)}


def make(folder: Path, layout: Layout) -> Project:
    project = Project(folder / "project", repository.environment(folder / "environment"), layout)
    project.folder.mkdir()
    repository.git(project.folder, "init", "-q", "-b", "main")
    tests = {"tests/test_work.py": TESTS.format(module=layout.module)}
    repository.commit(project.folder, "first", {**layout.files, **tests, **project.work(FAST_S)})
    repository.commit(project.folder, "slow", project.work(SLOW_S))
    return project


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    return make(tmp_path, LAYOUTS[request.param])


def same_file(found: list[str | int], project: Project, *, editable: bool) -> None:
    """Check that base imports its own copy, of the first commit, and head that of the working tree."""
    base, head = (Path(str(file)) for file in found)
    assert base.is_relative_to(project.folder.parent / "cache"), found
    assert base.read_text() == WORK.format(seconds=FAST_S)
    assert head.read_text() == WORK.format(seconds=SLOW_S)
    assert head.is_relative_to(project.folder if editable else project.folder.parent / "environment"), found


BY_SETUPTOOLS = [name for name in LAYOUTS if LAYOUTS[name].needs == "setuptools"]
COMMON = {("setuptools flat", "plain"), ("setuptools src", "plain"), ("setuptools flat", "editable")}
INSTALLED = [
    pytest.param(name, mode, marks=() if (name, mode) in COMMON else pytest.mark.long)
    for name in BY_SETUPTOOLS
    for mode in ("plain", "editable")
]


@pytest.mark.parametrize(("project", "mode"), INSTALLED, indirect=["project"])
def test_base_imports_its_own_code_however_head_is_installed(project: Project, mode: str) -> None:
    repository.install(project.python, project.folder, *(["--editable"] if mode == "editable" else []))
    same_file(project.ask(), project, editable=mode == "editable")


def available(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.long
@pytest.mark.parametrize("mode", ["plain", "editable"])
@pytest.mark.parametrize("name", [name for name in LAYOUTS if LAYOUTS[name].needs != "setuptools"])
def test_base_imports_its_own_code_with_other_build_tools(tmp_path: Path, name: str, mode: str) -> None:
    layout = LAYOUTS[name]
    if not available(layout.needs):
        pytest.skip(f"{layout.needs} is not installed; `make test-long` does it")
    if layout.program and shutil.which(layout.program) is None:
        pytest.skip(f"{layout.needs} needs {layout.program}, which is not on PATH")
    project = make(tmp_path, layout)
    repository.install(project.python, project.folder, *(["--editable"] if mode == "editable" else []))
    same_file(project.ask(), project, editable=mode == "editable")


@pytest.fixture
def flat(tmp_path: Path) -> Project:
    """A project that nothing has installed yet; git does not track the environment beside it."""
    return make(tmp_path, LAYOUTS["setuptools flat"])


def site_packages(project: Project) -> Path:
    return next((project.folder.parent / "environment").glob("lib/python*/site-packages"))


def path_file(project: Project) -> None:
    (site_packages(project) / "mine.pth").write_text(f"{project.folder}\n")


def develop(project: Project) -> None:
    """As `setup.py develop` leaves it."""
    (site_packages(project) / "tiny.egg-link").write_text(f"{project.folder}\n.")
    (site_packages(project) / "easy-install.pth").write_text(f"{project.folder}\n")
    repository.write(project.folder, {"tiny.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n"})


def finder_in_front(project: Project) -> None:
    """An editable install whose finder puts itself before all others, as those of meson-python do."""
    repository.install(project.python, project.folder, "--editable")
    (helper,) = site_packages(project).glob("__editable___tiny*_finder.py")
    helper.write_text(helper.read_text().replace("sys.meta_path.append(", "sys.meta_path.insert(0, "))


def search_path(text: str) -> Callable[[Project], None]:
    return lambda project: project.variables.update(PYTHONPATH=text.format(root=project.folder))


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(path_file, id="path file"),
        pytest.param(develop, id="develop", marks=pytest.mark.long),
        pytest.param(finder_in_front, id="finder in front"),
        pytest.param(search_path("{root}"), id="PYTHONPATH"),
        pytest.param(search_path("."), id="PYTHONPATH relative", marks=pytest.mark.long),
        pytest.param(search_path("/nothing:"), id="PYTHONPATH empty entry", marks=pytest.mark.long),
    ],
)
def test_base_imports_its_own_code_whatever_leads_to_head(flat: Project, way: Callable[[Project], None]) -> None:
    way(flat)
    same_file(flat.ask(), flat, editable=True)


def test_tests_that_are_given_by_absolute_paths_are_those_of_each_side(flat: Project) -> None:
    repository.install(flat.python, flat.folder)
    found = flat.ask(targets=(str(flat.folder / "tests" / "test_work.py") + "::test_work",))
    same_file(found, flat, editable=False)


def customized(project: Project) -> None:
    """The environment's own start-up puts head's code in front."""
    line = f"import sys\nsys.path.insert(0, {str(project.folder / 'src')!r})\n"
    (site_packages(project) / "sitecustomize.py").write_text(line)


def named_in_a_test(project: Project) -> None:
    """The tests of both commits import head's code, wherever they are."""
    line = f"import sys\nsys.path.insert(0, {str(project.folder / 'src')!r})\n"
    repository.git(project.folder, "checkout", "-q", "first")
    repository.commit(project.folder, "third", {"tests/conftest.py": line})
    repository.git(project.folder, "checkout", "-q", "main")
    repository.write(project.folder, {"tests/conftest.py": line})


@pytest.mark.parametrize(("way", "base"), [(customized, "first"), (named_in_a_test, "third")])
def test_a_base_that_would_import_other_code_is_refused(
    tmp_path: Path, way: Callable[[Project], None], base: str
) -> None:
    project = make(tmp_path, LAYOUTS["setuptools src"])
    way(project)
    code, message, hint = project.ask(base)
    assert code == 2
    assert f"{base}: tiny is imported from {project.folder}/src/tiny/__init__.py" in str(message)
    assert "not from this commit" in str(message)
    assert "PYTHONPATH" in str(hint)


def test_a_copy_here_that_is_not_what_the_folder_has_is_refused(flat: Project) -> None:
    repository.install(flat.python, flat.folder)
    repository.git(flat.folder, "clean", "-qfdx")
    repository.write(flat.folder, flat.work(5.0))
    code, message, hint = flat.ask()
    assert code == 2
    assert "a copy of the project in which __init__.py is not as in this folder" in str(message)
    assert "pip install --editable ." in str(hint)


@pytest.mark.long
def test_a_copy_elsewhere_on_the_path_is_refused_at_head_and_not_taken_by_base(flat: Project) -> None:
    repository.write(flat.folder.parent / "deployed", {"tiny/__init__.py": WORK.format(seconds=7.0)})
    flat.variables["PYTHONPATH"] = str(flat.folder.parent / "deployed")
    code, message, _ = flat.ask()
    assert code == 2
    assert f".: tiny is imported from {flat.folder.parent}/deployed/tiny/__init__.py, a copy" in str(message)
    base, _ = flat.ask(head="slow")
    assert Path(str(base)).is_relative_to(flat.folder.parent / "cache")


def test_an_environment_whose_copy_is_not_what_tests_import_is_refused(flat: Project, tmp_path: Path) -> None:
    """pytest puts the folder of conftest.py in front of the environment that is to be measured."""
    other = repository.environment(tmp_path / "other")
    repository.install(other, flat.folder)
    path_file(flat)
    repository.write(flat.folder, {"conftest.py": ""})
    code, message, _ = flat.ask(f"python:{other}")
    assert code == 2
    assert f"tiny is imported from {flat.folder}/tiny/__init__.py, not from the copy that is installed" in str(message)
    (flat.folder / "conftest.py").unlink()
    base, head = flat.ask(f"python:{other}")
    assert Path(str(base)).is_relative_to(tmp_path / "other")
    assert head == str(flat.folder / "tiny" / "__init__.py")
