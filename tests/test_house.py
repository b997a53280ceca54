"""Rules of the house that no linter knows, and proof that those which a linter knows bite."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from outcrier import _core

pytest_plugins = ["pytester"]

SOURCE_SUFFIXES = {".py", ".pyi", ".rs", ".toml", ".md", ".service", ".target", ".conf"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())


def sources(*folders: str) -> Iterator[Path]:
    """Every text we wrote below `folders`, build output left out."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SOURCE_SUFFIXES and "__pycache__" not in path.parts:
                yield path


def findings(pattern: str, paths: Iterator[Path], *, allowed: frozenset[str] = frozenset()) -> list[str]:
    """`file:line: text` of every line that matches, in files that are not `allowed`."""
    found = []
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        if name in allowed:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{name}:{number}: {line.strip()}")
    return found


def ruff(code: str, file_name: str) -> str:
    """What our ruff configuration says about `code` in a file of that name."""
    options = ["--no-cache", "--output-format", "concise", "--stdin-filename", file_name, "-"]
    result = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *options],
        input=code,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    return result.stdout


CLOCK_READS = [
    "import time\nprint_at = time.time()\n",
    "import time\nprint_at = time.monotonic_ns()\n",
    "from time import perf_counter\nprint_at = perf_counter()\n",
    "import datetime\nprint_at = datetime.datetime.now(tz=datetime.UTC)\n",
    "from datetime import datetime\nprint_at = datetime.utcnow()\n",
]


@pytest.mark.parametrize("code", CLOCK_READS)
def test_python_clock_reads_are_refused_outside_the_clock_module(code: str) -> None:
    assert "TID251" in ruff(code, "python/outcrier/feeder/plan.py")
    assert "TID251" not in ruff(code, "python/outcrier/clock.py")


def test_print_and_unfinished_marks_are_refused_in_the_package() -> None:
    assert "T201" in ruff("print(1)\n", "python/outcrier/demo/screen.py")
    mark = "TO" + "DO"
    assert "FIX002" in ruff(f"# {mark}: later\n", "python/outcrier/demo/screen.py")


def test_rust_reads_the_clock_in_one_file() -> None:
    """Programs beside the product, which measure, ask the system for the processor time that they took."""
    pattern = r"clock_gettime|adjtimex|gettimeofday|_rdtsc|Instant::now|SystemTime::now"
    clock = frozenset({"rust_core/net/src/clock.rs"})
    crates = ("rust_core/core/src", "rust_core/net/src", "rust_core/py/src")
    assert findings(pattern, sources(*crates), allowed=clock) == []
    assert findings(pattern, iter([ROOT / "rust_core/net/src/clock.rs"])) != []


def test_nothing_is_left_unfinished() -> None:
    pattern = r"\b(TO" + r"DO|FIX" + r"ME)\b|\bto" + r"do!\(|\bunimplemented" + r"!\("
    folders = ("python", "rust_core", "tests", "config", "systemd", "docs", "benchmarks")
    assert findings(pattern, sources(*folders)) == []


def test_speed_is_told_by_the_record() -> None:
    """Every row of README's tables stands so in the record that was named last before it."""
    readme = (ROOT / "README.md").read_text()
    told = readme.partition("## How fast")[2].partition("\n## ")[0]
    above, *named = re.split(r"(benchmarks/record/[\w.-]+\.md)", told)
    assert "\n| " not in above
    assert named
    for name, text in zip(named[::2], named[1::2], strict=True):
        record = (ROOT / name).read_text().splitlines()
        rows = [line for line in text.splitlines() if line.startswith("| ")]
        assert len(rows) > 2, name
        assert [line for line in rows if line not in record] == []


def test_versions_agree() -> None:
    version = PYPROJECT["project"]["version"]
    assert CARGO["workspace"]["package"]["version"] == version
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    locked = {package["name"]: package["version"] for package in lock["package"]}
    for crate in ("outcrier-core", "outcrier-net", "outcrier-py"):
        assert locked[crate] == version
    assert _core.__version__ == version


def requirements(name: str) -> dict[str, str]:
    """`name==version` -> its whole entry with hashes, of a lock file."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {entry.split()[0]: entry for entry in entries}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", "requirements-bench.lock"])
def test_locks_pin_every_requirement_by_hash_and_name_no_host(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "index-url" not in text
    locked = requirements(name)
    pinned = re.compile(r"[a-z0-9-]+==[0-9]\S* .*--hash=sha256:[0-9a-f]{64}")
    assert [entry for entry in locked.values() if not pinned.match(entry)] == []
    wanted = list(PYPROJECT["project"]["dependencies"])
    if name != "requirements.lock":
        wanted += PYPROJECT["dependency-groups"]["tools"]
    if name == "requirements-bench.lock":
        wanted += PYPROJECT["dependency-groups"]["bench"]
    names = {re.split(r"[<>=!~;\[ ]", entry)[0] for entry in wanted}
    assert names <= {entry.split("==")[0] for entry in locked}


@pytest.mark.parametrize("name", ["requirements-dev.lock", "requirements-bench.lock"])
def test_tests_and_benchmarks_run_with_the_versions_that_are_shipped(name: str) -> None:
    assert requirements("requirements.lock").keys() <= requirements(name).keys()


def test_unsafe_rust_is_forbidden_in_the_core() -> None:
    assert "#![forbid(unsafe_code)]" in (ROOT / "rust_core/core/src/lib.rs").read_text()


def test_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    for part in ("Version 2.0, January 2004", "9. Accepting Warranty", "END OF TERMS AND CONDITIONS"):
        assert part in text
    assert PYPROJECT["project"]["license"] == CARGO["workspace"]["package"]["license"] == "Apache-2.0"


def make(target: str, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs make with nothing in PATH but what lies in `path`."""
    arguments = [f"{name}={value}" for name, value in variables.items()]
    make_path = shutil.which("make")
    assert make_path is not None
    return subprocess.run(
        [make_path, "--no-print-directory", target, *arguments],
        env={"PATH": str(path), "HOME": str(path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH with a shell's few tools and Python, and without Rust."""
    for name in ("sh", "sed", "find", "cut", "awk"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    (tmp_path / "python3").symlink_to(sys.executable)
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_make_says_what_to_install(bare_path: Path) -> None:
    result = make("toolchain", bare_path)
    assert result.returncode != 0
    assert "cargo is missing: install Rust with rustup" in result.stderr
    assert "rustup toolchain install stable" in result.stderr

    program(bare_path / "cargo", "exit 0")
    program(bare_path / "rustc", "echo 'rustc 1.70.0 (1234 2023-06-01)'")
    result = make("toolchain", bare_path)
    minimum = CARGO["workspace"]["package"]["rust-version"]
    assert result.returncode != 0
    assert f"Rust {minimum} or newer is needed, this is rustc 1.70.0" in result.stderr

    program(bare_path / "rustc", f"echo 'rustc {minimum}.0 (1234 2025-06-01)'")
    result = make("toolchain", bare_path)
    assert result.returncode != 0
    assert "cc is missing" in result.stderr

    program(bare_path / "cc", "exit 0")
    assert make("toolchain", bare_path).returncode == 0

    (bare_path / "python3").unlink()
    result = make("toolchain", bare_path)
    assert result.returncode != 0
    assert "Python 3.11 or newer is missing" in result.stderr


def test_make_help_lists_every_target(bare_path: Path) -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    shown = {line.split()[1] for line in make("help", bare_path).stdout.splitlines()}
    assert shown == set(phony[1].split()) - {"toolchain"}


INNER_TESTS = """
import pytest

def test_runs(): pass
def test_skips(): pytest.skip("this and that is missing")
@pytest.mark.skip(reason="marked")
def test_marked(): pass
@pytest.mark.xfail(reason="known", strict=True)
def test_expected(): assert False
def test_needs(capture): capture("binance/none_such")
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder whose tests have the conftest.py of ours."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest((ROOT / "tests/conftest.py").read_text())
    return pytester


@pytest.mark.parametrize(
    ("ci", "data", "fails", "workers"),
    [("true", True, True, 0), ("true", True, True, 2), ("true", False, False, 0), ("", True, False, 0)],
    ids=["ci with captures", "the same in workers", "ci without captures", "at home"],
)
def test_a_skip_fails_only_in_ci_with_captures(
    inner: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    *,
    ci: str,
    data: bool,
    fails: bool,
    workers: int,
) -> None:
    monkeypatch.setenv("CI", ci)
    folder = inner.path / "data"
    if data:
        (folder / "captures").mkdir(parents=True)
    monkeypatch.setenv("OUTCRIER_DATA", str(folder))
    inner.makepyfile(test_many=INNER_TESTS, test_few="def test_runs_elsewhere(): pass")
    result = inner.runpytest_subprocess("-p", "no:cacheprovider", "-n", str(workers))
    if not fails:
        result.assert_outcomes(passed=2, skipped=3, xfailed=1)
        return
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    # The mark skips before the test runs, which pytest calls an error.
    result.assert_outcomes(passed=2, failed=2, errors=1, xfailed=1)
    for reason in ("this and that is missing", "marked", "capture is missing: *"):
        result.stdout.fnmatch_lines_random([f"nothing may be skipped in CI *: Skipped: {reason}"])


def test_a_file_that_skips_itself_fails_in_ci_with_captures(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("OUTCRIER_DATA", str(inner.path))
    inner.makepyfile(test_whole='import pytest\npytest.skip("not on this machine", allow_module_level=True)')
    result = inner.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2")
    assert result.ret not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    result.stdout.fnmatch_lines(["*nothing may be skipped in CI *: Skipped: not on this machine"])


def test_every_module_stands_in_the_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = " ".join(contracts[0]["layers"]).replace(":", " ").split()
    package = ROOT / "python" / "outcrier"
    modules = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    assert {f"outcrier.{name}" for name in modules - {"__init__", "__main__"}} == set(layers)
