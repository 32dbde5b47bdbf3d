"""What holds for the whole repository: locks, versions, sizes, what a wheel carries, what the documents promise."""

from __future__ import annotations

import ast
import email
import email.message
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import tfod_transfer

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tfod_transfer"
REQUIREMENTS = ROOT / "requirements"
LOCKS = sorted(path.stem for path in REQUIREMENTS.glob("*.lock"))
DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
MAX_TRACKED_BYTES = 5_000_000
MAX_LINES = 400


def tracked_files() -> list[pathlib.Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git work tree")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def lock_lines(name: str) -> list[Requirement]:
    text = (REQUIREMENTS / f"{name}.lock").read_text()
    return [Requirement(line.removesuffix("\\")) for line in text.splitlines() if re.match(r"\w", line)]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_and_hashes_every_line_and_holds_what_was_asked_for(name):
    text = (REQUIREMENTS / f"{name}.lock").read_text()
    entries = re.split(r"\n(?=\w)", text.strip())
    assert all(re.match(r"[\w.-]+==\S+", entry) and "--hash=sha256:" in entry for entry in entries)
    locked: dict[str, list[Version]] = {}
    for line in lock_lines(name):
        (pin,) = line.specifier
        locked.setdefault(canonicalize_name(line.name), []).append(Version(pin.version))
    asked = [Requirement(line) for line in (REQUIREMENTS / f"{name}.in").read_text().splitlines() if line[:1].isalpha()]
    for requirement in asked:
        versions = locked.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement.name} is asked for but not locked: make lock"
        assert all(version in requirement.specifier for version in versions), f"{requirement}: make lock"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the wheel and the source distribution, built from a copy of the work tree."""
    copy, dist = tmp_path_factory.mktemp("build") / "copy", tmp_path_factory.mktemp("dist")
    copy.mkdir()
    for name in (
        "setup.py",
        "pyproject.toml",
        "MANIFEST.in",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
    ):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    shutil.copy(ROOT / "Makefile", copy)
    shutil.copy(ROOT / "model_registry.yaml", copy)
    for name in ("tfod_transfer", "requirements", "scripts"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for command in ("bdist_wheel", "sdist"):
        done = subprocess.run(
            [sys.executable, "setup.py", "--quiet", command, "--dist-dir", str(dist)],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return dist


def package_data() -> set[str]:
    """Every file of the package that is not made by running it."""
    return {
        str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_wheel_carries_the_whole_package_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert names == package_data()
        assert archive.read("tfod_transfer/model_registry.yaml") == (ROOT / "model_registry.yaml").read_bytes()


def test_a_source_distribution_carries_the_whole_package_as_real_files(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
        assert package_data() <= set(members)
        assert all(members[name].isreg() for name in package_data())
        assert {"LICENSE", "model_registry.yaml", "requirements/primary.lock"} <= set(members)


@pytest.fixture(scope="module")
def wheel_metadata(built: pathlib.Path) -> email.message.Message:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def declared(wheel_metadata: email.message.Message) -> list[Requirement]:
    return [Requirement(line) for line in wheel_metadata.get_all("Requires-Dist", [])]


def test_a_wheel_has_the_version_of_the_package(wheel_metadata):
    assert wheel_metadata["Version"] == tfod_transfer.__version__


def test_what_the_package_imports_is_what_it_declares(declared):
    imported: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    imported -= {"tfod_transfer", *sys.stdlib_module_names}
    modules = {"pillow": "PIL", "pyyaml": "yaml", "tensorflow-serving-api": "tensorflow_serving"}
    names = {modules.get(canonicalize_name(line.name), line.name.replace("-", "_")) for line in declared}
    # tensorflow-hub imports setuptools' pkg_resources.
    assert imported == names - {"setuptools"}


def test_the_declared_ranges_admit_what_is_locked(declared):
    for lock in ("primary", "newest"):
        locked: dict[str, list[Requirement]] = {}
        for line in lock_lines(lock):
            locked.setdefault(canonicalize_name(line.name), []).append(line)
        for requirement in declared:
            pins = locked.get(canonicalize_name(requirement.name), [])
            assert pins, f"{requirement.name} is declared but not in {lock}.lock"
            for pin in pins:
                (specifier,) = pin.specifier
                assert Version(specifier.version) in requirement.specifier, f"{lock}.lock: {pin}"


def test_the_changelog_opens_with_this_version():
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == tfod_transfer.__version__


def test_tracked_files_are_small():
    large = {str(path): path.stat().st_size for path in tracked_files() if path.stat().st_size > MAX_TRACKED_BYTES}
    assert not large


def test_no_module_has_outgrown_its_room():
    lengths = {path: len(path.read_text().splitlines()) for path in tracked_files() if path.suffix == ".py"}
    assert {str(path): length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_no_file_names_a_place_on_somebodys_machine():
    # Spelt in pieces, so that this file does not name one.
    places = re.compile("|".join(rf"(?<![\w.$}}])/{place}/[\w.]" for place in ("work", "root", "home", "Users")))
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in places.finditer(text)]
    assert not found


def test_test_files_have_unique_names():
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def fenced_lines(document: pathlib.Path) -> list[str]:
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_a_document_exist(document):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in fenced_lines(document):
        for module in re.findall(r"python -m (tfod_transfer[\w.]*)", line):
            path = ROOT.joinpath(*module.split("."))
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"no module {module}: {line}"
        for target in re.findall(r"^(?:\$ )?make ([a-z-]+)", line):
            assert target in targets, f"no target {target}: {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_in_a_document_lead_to_files(document):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
        if not re.match(r"\w+:", target):
            assert (document.parent / target).exists(), f"{document.name} links to {target}, which is not there"
