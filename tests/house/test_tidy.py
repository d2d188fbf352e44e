"""The house is tidy: small modules, fresh generated code, no addresses of registries or machines."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70
TEST_LINES_MAX = 800


def tracked(*endings: str) -> list[Path]:
    """Return the files that git tracks, and new ones that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return [ROOT / f for f in listed if f.endswith(endings) and (ROOT / f).is_file()]


def sources() -> list[Path]:
    return [f for f in tracked(".py") if "wire" not in f.parts]


def test_modules_and_functions_are_small() -> None:
    """What does not fit on a few screens has more than one job."""
    too_long = []
    for file in sources():
        text = file.read_text()
        most = TEST_LINES_MAX if "tests" in file.relative_to(ROOT).parts[0] else MODULE_LINES_MAX
        if text.count("\n") > most:
            too_long.append(f"{file.relative_to(ROOT)}: {text.count(chr(10))} lines, at most {most}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    too_long.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines")

    assert not too_long, "\n".join(too_long)


def test_names_say_what_is_inside() -> None:
    """A module that can hold anything will."""
    vague = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}

    assert not [f for f in sources() if f.stem in vague or f.stem.split("_")[-1] in vague]


def test_the_generated_wire_is_fresh(tmp_path: Path) -> None:
    """`make proto` would change nothing."""
    protos = [str(f.relative_to(ROOT / "proto")) for f in sorted((ROOT / "proto").rglob("*.proto"))]
    out = tmp_path
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}",
            f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}", *protos,
        ],
        check=True,
    )  # fmt: skip

    stale = [
        made.name
        for made in sorted(out.rglob("*.py*"))
        if made.read_bytes() != (ROOT / made.relative_to(out)).read_bytes()
    ]

    assert not stale, f"run 'make proto': {stale}"


def test_no_registry_addresses_and_machine_paths() -> None:
    """The lock files and docs tie the project to no registry and no machine."""
    forbidden = re.compile(r"://\S*(/simple\b|/packages/\S*\.(whl|tar\.gz)|/debian\b)|(^|[\s\"'(=])/(work|root|farm)/")
    found = []
    for file in tracked(".py", ".md", ".lock", ".in", ".toml", ".yaml", ".yml", ".sh", "Makefile", ".proto", "run"):
        if file == Path(__file__):
            continue
        for number, line in enumerate(file.read_text(errors="replace").split("\n"), 1):
            if forbidden.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:80]}")

    assert not found, "\n".join(found)


def test_every_pinned_requirement_has_a_hash() -> None:
    """What is installed is what was tested."""
    rivals = "benchmarks/real_rivals/hyperqueue.lock"
    for name in ("requirements.lock", "requirements-dev.lock", "deploy/image/build.lock", rivals):
        entries = re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text().strip())

        assert entries
        assert not [e.split()[0] for e in entries if "--hash=sha256:" not in e]


@pytest.mark.parametrize("room", ["scheduler", "broker", "benchmarks", "proto", "deploy", "tests"])
def test_the_top_level_is_as_prescribed(room: str) -> None:
    """A newcomer finds the six rooms, and only root files beside them."""
    assert (ROOT / room).is_dir()
    rooms = {f.relative_to(ROOT).parts[0] for f in tracked("") if len(f.relative_to(ROOT).parts) > 1}

    assert rooms <= {"scheduler", "broker", "benchmarks", "proto", "deploy", "tests", ".ci"}
