"""Python libraries that a job needs and its container may lack.

AWS builds its TensorFlow training images on tf-models-official: they hold tf-keras, tensorflow-hub, pycocotools,
matplotlib, Pillow, psutil, PyYAML and tqdm, but not msgspec. They hold TensorFlow under the name of AWS's own build
(tensorflow-cpu, tensorflow-gpu), so pip would install a second TensorFlow for any library that depends on `tensorflow`.
Hence only what is absent is installed, at locked versions, without dependencies.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence

from tfod_transfer import errors

LOCK_FILE = pathlib.Path(__file__).with_name("libraries.lock")
#: Wheels for a job without a network; in a bundle that was made with them.
WHEELS_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "wheels"
#: What the images lack, for the toolkit to install from requirements.txt.
LACKING = ("msgspec",)
#: Module -> distribution.
MODULES = {
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "msgspec": "msgspec",
    "PIL": "pillow",
    "psutil": "psutil",
    "pycocotools": "pycocotools",
    "tensorflow_hub": "tensorflow-hub",
    "tensorflow_serving": "tensorflow-serving-api",
    "tqdm": "tqdm",
    "yaml": "pyyaml",
}
#: What these in turn import, beside what TensorFlow brings; the same way.
BENEATH = {
    "contourpy": "contourpy",
    "cycler": "cycler",
    "dateutil": "python-dateutil",
    "fontTools": "fonttools",
    "kiwisolver": "kiwisolver",
    "markupsafe": "markupsafe",
    "pyparsing": "pyparsing",
    "tzdata": "tzdata",
}
#: tf-keras for each TensorFlow; their minor versions must agree.
TF_KERAS = {
    "2.16": "tf-keras==2.16.0 --hash=sha256:b2ad0541fa7d9e92c4b7a1b96593377afb58aaff374299a6ca6be1a42f51d899",
    "2.17": "tf-keras==2.17.0 --hash=sha256:cc97717e4dc08487f327b0740a984043a9e0123c7a4e21206711669d3ec41c88",
    "2.18": "tf-keras==2.18.0 --hash=sha256:c431d04027eef790fcd3261cf7fdf93eb74f3cb32e05078b57b7f5a54bd53262",
    "2.19": "tf-keras==2.19.0 --hash=sha256:4f339e800987b39d1548a8c76a7b33b6801a97ec7fcd89c299ec29741f7890bd",
    "2.20": "tf-keras==2.20.1 --hash=sha256:3f0e0a34d9a4c8758f24fdc1053e6e335f16ab5534c7d34f1899b8924779760c",
}
#: Names that TensorFlow is installed under.
TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu")


def ensure() -> None:
    """Installs what is absent; does nothing in a container that has everything.

    Raises:
      UsageError: there is no TensorFlow, or one that the package does not know, or pip failed.
    """
    absent = [distribution for module, distribution in {**MODULES, **BENEATH}.items() if not _present(module)]
    requirements = list(locked(absent))
    if not _present("tf_keras"):
        requirements.append(_matching_tf_keras())
    if not requirements:
        return
    names = ", ".join(requirement.partition("==")[0] for requirement in requirements)
    print(f"libraries:  installing {names}", flush=True)
    offline = ["--no-index", "--find-links", str(WHEELS_FOLDER)] if WHEELS_FOLDER.is_dir() else []
    try:
        pip("install", [*offline, "--no-deps", "--quiet"], requirements)
    except errors.UsageError as error:
        raise errors.UsageError(
            f"the container lacks {names}. {error} A job in network isolation needs an archive with wheels: "
            "python -m tfod_transfer.sagemaker bundle OUT.tar.gz --with_wheels."
        ) from None
    importlib.invalidate_caches()


def locked(distributions: Iterable[str]) -> Iterable[str]:
    """Yields the lock's entries of `distributions`: name, version and hashes, as pip's requirements files have them."""
    entries: dict[str, list[str]] = {}
    for line in LOCK_FILE.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            entries[line.partition("==")[0]] = [line]
        elif not line.strip().startswith("#"):
            entries[next(reversed(entries))].append(line)
    return ["\n".join(entries[distribution]) for distribution in distributions]


def pip(command: str, flags: Sequence[str], requirements: Iterable[str]) -> None:
    """Runs a command of pip, of this interpreter, on requirements with hashes.

    Raises:
      UsageError: pip is missing or failed; with its own last error line.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "requirements.txt"
        file.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pip", command, "--require-hashes", *flags, "-r", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module" in line]
        raise errors.UsageError(f"pip {command} failed: {(lines or [done.stderr.strip()])[-1]}")


def _present(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _matching_tf_keras() -> str:
    for name in TENSORFLOW:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        minor = ".".join(version.split(".")[:2])
        if minor in TF_KERAS:
            return TF_KERAS[minor]
        raise errors.UsageError(
            f"found TensorFlow {version}; expected one of {', '.join(TF_KERAS)}. Use another image."
        )
    raise errors.UsageError("found no TensorFlow in this container; use one of AWS's TensorFlow training images.")
