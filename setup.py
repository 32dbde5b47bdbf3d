"""Packaging. Tool settings are in pyproject.toml, exact versions in requirements/*.lock."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "tfod_transfer" / "__init__.py").read_text(), re.MULTILINE)
README = ROOT / "README.md"

setuptools.setup(
    name="tfod_transfer",
    version=VERSION.group(1),
    description="Fine-tune TensorFlow detection models on your own photographs, measure them and serve them",
    long_description=README.read_text() if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.13",
    packages=setuptools.find_packages(include=["tfod_transfer", "tfod_transfer.*"]),
    package_data={
        "tfod_transfer": [
            "model_registry.yaml",
            "py.typed",
            "demo/checkpoint/**",
            "evaluation/templates/*",
            "sagemaker/*.lock",
            "serving/server/templates/*",
        ]
    },
    # Ranges of what works; pip alone may still pick a set that does not, which is what the locks are for.
    install_requires=[
        "tensorflow>=2.16,<2.21",
        "tf-keras>=2.16,<2.21",
        "tensorflow-hub>=0.16",
        "tensorflow-serving-api>=2.16",
        "numpy>=1.26",
        "h5py>=3.10",
        "jinja2>=3.1",
        "matplotlib>=3.8",
        "msgspec>=0.18",
        "pillow>=10.1",
        "psutil>=5.9",
        "pycocotools>=2.0.7",
        "PyYAML>=6",
        "tqdm>=4.64",
        "setuptools<81",  # tensorflow-hub 0.16 imports pkg_resources, which later releases no longer have
    ],
    extras_require={
        "onnx": ["onnx>=1.15", "onnxruntime>=1.17", "tf2onnx>=1.16"],
        "serve": ["starlette>=0.40", "uvicorn>=0.30", "prometheus-client>=0.20"],
        "video": ["av>=12"],
    },
)
