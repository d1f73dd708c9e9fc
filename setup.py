"""Packaging of tspmz. The versions that are tested together stand in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).with_name("README.md")

EVAL = ["elkai>=2.0"]
GYM = ["gymnasium>=1.0"]
TEST = [
    "pytest>=8.0", "pytest-timeout>=2.2", "pytest-xdist>=3.5", "hypothesis>=6.100", "psutil>=5.9", "selenium>=4.15",
    *EVAL, *GYM,
]  # fmt: skip
LINT = ["ruff>=0.6", "mypy>=1.10"]

setup(
    name="tspmz",
    version="0.1.0",
    description="A fast MuZero trainer for the Travelling Salesman Problem",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    author="the tspmz authors",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["tspmz", "tspmz.*"]),
    package_data={
        "tspmz": ["presets/*.toml"],
        "tspmz.report": ["templates/*.j2"],
        "tspmz.pretrained": ["*.pt", "*.json", "*.md"],
    },
    scripts=[
        "bin/tspmz", "bin/tspmz-train", "bin/tspmz-eval", "bin/tspmz-solve", "bin/tspmz-replay",
        "bin/tspmz-compare", "bin/tspmz-export",
    ],
    install_requires=[
        "click>=8.1",
        "h5py>=3.10",
        "jinja2>=3.1",
        "llvmlite>=0.42",  # of numba; 0.42 is what numba 0.59 asks for
        "matplotlib>=3.8",
        "numba>=0.59",
        "numpy>=1.26",
        "rich>=13.0",
        "tensorboardX>=2.6",
        "torch>=2.10",  # before 2.6 and 2.10, files could run code or damage memory even with weights_only=True
    ],
    extras_require={
        "eval": EVAL,
        "gym": GYM,
        "test": TEST,
        "lint": LINT,
        "curves": ["tensorboard>=2.16"],
        "bench": ["pyvrp>=0.14", *EVAL],
    },
)
