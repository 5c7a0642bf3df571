"""Processes that cannot outlive their owner, and the scratch folder they write to.

Three nets, from the finest: ``Child.stop``; the kernel's parent-death signal, which ends every child when the owner
ends however it ends; and a list of process ids in the session's folder, swept when the next session starts. A recorded
process is only ended when its start time still matches, so a reused id is left alone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed.errors import ProcessEndedError, TestbedError

_STOP_SECONDS = 30.0  # longer than what is stopped in good order takes on a busy machine; then it is killed
_ports = iter(range(20_000, 32_768))
_ports_lock = threading.Lock()


def start_time(pid: int) -> str | None:
    """When a process began (clock ticks since boot, from ``/proc``), or None where there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def kill_recorded(pid: int, started: str, number: signal.Signals = signal.SIGKILL) -> bool:
    """Signal a process only if it is still the one that was recorded; returns whether it was."""
    if start_time(pid) != started:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    return True


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now, and that nobody else is given.

    Below the range from which the kernel serves who asks for any port. From within it, a port could be taken before its
    server is up or while that is stopped: by a listener, or by a client that happens to connect from that very port.
    """
    with _ports_lock:
        for port in _ports:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise TestbedError("every port of the testbed's own range was given away or is in use")


class Child:
    """A process started by a session, with its output in ``log``."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.popen = popen
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def check(self) -> bool:
        """True while it runs.

        Raises:
            ProcessEndedError: it ended by itself; the message carries the end of its log.
        """
        if self.running():
            return True
        raise ProcessEndedError(
            f"{self.name} ended with code {self.popen.returncode}. The end of {self.log}:\n{self.tail()}"
        )

    def tail(self, lines: int = 15) -> str:
        """The end of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, graceful: bool = False) -> None:
        """End it and wait until it is gone: at once, or with SIGTERM first where it has something to save."""
        if graceful and self.running():
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(_STOP_SECONDS)
        self.popen.kill()
        self.popen.wait()
        if self.popen.stdin:
            with contextlib.suppress(OSError):
                self.popen.stdin.close()


class Session:
    """The processes and the scratch folder of this Python process. Use :func:`session`."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        base = _base_folder()
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(base)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.owner}-{start_time(self.owner)}-", dir=base))
        self._pids = self.folder / "pids"
        # The parent-death signal follows the thread that started the child, so one thread that lives as long as the
        # process starts them all.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="testbed-starter")
        self._lock = threading.Lock()
        self._children: list[Child] = []
        atexit.register(self.close)

    def spawn(
        self, name: str, arguments: Sequence[object], *, env: Mapping[str, str] | None = None, stdin: bool = False
    ) -> Child:
        """Start a process that ends when this one does; its output goes to ``<folder>/<name>.log``."""
        return self._starter.submit(self._spawn, name, arguments, env, stdin).result()

    def _spawn(self, name: str, arguments: Sequence[object], env: Mapping[str, str] | None, stdin: bool) -> Child:
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, arguments)],
                cwd=self.folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with self._lock, self._pids.open("a") as record:
            record.write(f"{popen.pid} {start_time(popen.pid)} {name}\n")
            # Kept, so that a forgotten child is ended with the session and not by the garbage collector.
            child = Child(name, popen, log)
            self._children.append(child)
        return child

    def close(self) -> None:
        """End every child and remove the folder."""
        if os.getpid() == self.owner:
            for child in self._children:
                child.stop()
            shutil.rmtree(self.folder, ignore_errors=True)


_session: Session | None = None
_session_lock = threading.Lock()


def session() -> Session:
    """The session of this process, made at the first call."""
    global _session  # noqa: PLW0603 - there is one in a process, and it is made when first needed
    with _session_lock:
        if _session is None or _session.owner != os.getpid():
            _session = Session()
        return _session


def _base_folder() -> Path:
    memory = Path("/dev/shm")
    root = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    return root / f"sluice-testbed-{_outer_uid()}"


def _outer_uid() -> int:
    """The user who really runs this: in a user namespace everyone is root, but the folder is shared with outside."""
    uid = os.getuid()
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, outside, count = map(int, line.split())
        if inside <= uid < inside + count:
            return outside + uid - inside
    return uid


def _sweep(base: Path) -> None:
    """End what sessions left behind whose owner is gone."""
    for folder in base.iterdir():
        owner, _, rest = folder.name.partition("-")
        started = rest.partition("-")[0]
        if owner.isdigit() and start_time(int(owner)) != started:
            _end(folder)


def _end(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for line in (folder / "pids").read_text().splitlines():
            pid, started, _ = line.split(maxsplit=2)
            kill_recorded(int(pid), started)
    shutil.rmtree(folder, ignore_errors=True)
