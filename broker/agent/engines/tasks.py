"""Start the tasks of a gang so that none can do anything before all are ready and recorded. Standard library only.

Each task is forked, takes its own session, gives up every privilege, finds its program, says "ready" and waits.
Only when all are ready are they released together; a supervisor that dies before takes the waiting tasks with it.
"""

import ctypes
import errno
import os
import resource
import signal
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

from broker.agent.engines.processes import Identity, identity_of

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)


class StartFailed(Exception):
    """A task could not be started; the message says which and why."""


class Launch(NamedTuple):
    """How one task is to be started.

    Attributes:
        command: program and arguments, run without a shell; the program is looked up in the environment's PATH.
        environment: everything that the task gets.
        folder: its working directory, which exists.
        user: user and group number to become; None to stay who we are.
        stdout, stderr: write ends of its output pipes.
        open_files: how many files it may have open (soft limit).
        open_files: its soft limit of open files.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    user: int | None
    group: int | None
    stdout: int
    stderr: int
    open_files: int


class Gate(NamedTuple):
    """Two pipes between the supervisor and the waiting tasks: words come back, one byte each lets them go."""

    words_read: int
    words_write: int
    go_read: int
    go_write: int


def prctl(option: int, value: int) -> None:
    """Call prctl(2). Raise OSError when the kernel refuses."""
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def become_subreaper() -> None:
    """Make every orphan of our tree our child, so that nothing escapes by forking twice."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def open_gate() -> Gate:
    """Return a closed gate."""
    return Gate(*os.pipe(), *os.pipe())


def fork_waiting(launch: Launch, index: int, gate: Gate, boot: str) -> Identity:
    """Fork one task that waits at the gate, and return its identity. Raise StartFailed when that is impossible."""
    supervisor = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        raise StartFailed(f"task {index} could not be forked: {error.strerror}") from error
    if pid == 0:
        _live(launch, index, gate, supervisor)
    identity = identity_of(pid, boot)
    if identity is None:  # cannot be: an unreaped child keeps its entry
        raise StartFailed(f"task {index} is not to be seen in /proc")
    return identity


def wait_ready(gate: Gate, tasks: int) -> None:
    """Return when every task waits at the gate. Raise StartFailed when one of them cannot go on."""
    os.close(gate.words_write)
    for ready, line in enumerate(_lines(gate.words_read), start=1):
        if line != "ready":
            raise StartFailed(line)
        if ready == tasks:
            return
    raise StartFailed("a task died before it was ready")


def release(gate: Gate, tasks: int) -> None:
    """Let every task go and return when each has become its program. Raise StartFailed when one could not."""
    os.write(gate.go_write, b"g" * tasks)
    # The words pipe closes by itself in each task that becomes its program: the end of it means that all did.
    for line in _lines(gate.words_read):
        raise StartFailed(line)


def _lines(handle: int) -> Iterator[str]:
    """Yield the lines that the tasks write, until the last of them has closed the pipe."""
    rest = b""
    while piece := os.read(handle, 65536):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")


def _live(launch: Launch, index: int, gate: Gate, supervisor: int) -> NoReturn:
    """Be the task, from the fork to its program; never return into the supervisor's code."""
    step = "begin"
    try:
        os.setsid()
        os.close(gate.go_write)
        _plain_signals()
        os.dup2(launch.stdout, 1)
        os.dup2(launch.stderr, 2)
        os.umask(0o077)
        _limit(launch)
        step = "enter its working directory"
        os.chdir(launch.folder)  # before the privileges go: a folder above may be closed to the job's user
        step = "give up privileges"
        _give_up_privileges(launch.user, launch.group)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # it died before the line above took hold
            os._exit(1)
        step = f"find the program {launch.command[0]!r}"
        program = find_program(launch.command[0], launch.environment.get("PATH", ""))
        os.write(gate.words_write, b"ready\n")
        if not os.read(gate.go_read, 1):  # the supervisor is gone, and nobody would watch us
            os._exit(1)
        step = f"run the program {launch.command[0]!r}"
        os.execve(program, list(launch.command), dict(launch.environment))  # noqa: S606 - no shell is wanted
    except BaseException as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        os.write(gate.words_write, f"task {index} could not {step}: {why}\n".encode("utf-8", "replace")[:4000])
    finally:
        os._exit(127)


def _limit(launch: Launch) -> None:
    """Set what the task starts with. A user of the jobs gets half of all process numbers: a fork bomb stops there."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (launch.open_files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if launch.user is not None:
        with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
            most = int(file.read()) // 2
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _plain_signals() -> None:
    """Undo what the supervisor and Python have set: a program expects default signals."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP) and signal.getsignal(number) is not None:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _give_up_privileges(user: int | None, group: int | None) -> None:
    if user is not None and group is not None:
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if os.geteuid() == 0:
        raise PermissionError(errno.EPERM, "a job never runs as root")


def find_program(name: str, path: str) -> str:
    """Return the file that `name` means under this PATH. Raise OSError when there is none that may be executed."""
    candidates = [name] if "/" in name else [os.path.join(folder, name) for folder in path.split(":") if folder]
    refused = errno.ENOENT
    for candidate in candidates:
        try:
            mode = os.stat(candidate).st_mode
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                refused = error.errno or errno.EACCES
            continue
        if stat.S_ISREG(mode) and os.access(candidate, os.X_OK, effective_ids=True):
            return candidate
        refused = errno.EACCES
    raise OSError(refused, os.strerror(refused))
