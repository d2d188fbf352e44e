"""Slurm as Debian has it, on emulated nodes of this machine: one controller, and a slurmd for each node.

Everything is ours: configuration, state, ports, processes in the foreground, cards that are links to /dev/null. It
is set to schedule as often as it can, which its defaults do not; jobs of a batch still wait for a loop of a second.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.real_rivals.tasks import CARDS_PER_NODE, NotMeasured, Size, Tasks, per_second, probe, warmed

PACKAGES: Final = ("slurmctld", "slurmd", "slurm-client")
_PROGRAMS: Final = ("slurmctld", "slurmd", "sbatch", "sinfo", "scancel", "squeue")
_UP_SECONDS_MAX: Final = 30.0
_AT_ONCE: Final = 8
_CONFIGURATION: Final = """\
ClusterName=rival
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MailProg=/bin/true
SlurmdParameters=config_overrides
ReturnToService=2
MaxJobCount=1000000
MaxArraySize=1000001
MinJobAge=300
InactiveLimit=0
KillWait=5
WaitTime=0
MessageTimeout=30
TCPTimeout=5
SlurmctldDebug=info
SlurmdDebug=info
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=100
"""
_NODE: Final = (
    "NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=64 Sockets=1 CoresPerSocket=64 "
    "ThreadsPerCore=1 RealMemory=512000 Gres=gpu:ascend910b:{cards} State=UNKNOWN\n"
)


def measured(folder: Path, size: Size) -> dict[str, float]:
    """Return the figures. Raise NotMeasured: Slurm is not here, or did not do its work."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        raise NotMeasured(f"no {missing[0]} here: --install, or as root: apt-get install {' '.join(PACKAGES)}")
    with _running(folder, size.nodes) as slurm:
        warmed(folder, size, slurm.submit)
        figures = probe(folder / "probes", size.probes, size.seconds_max, slurm.submit)
        figures |= _ran(slurm, folder, size)
        figures |= _submitted(slurm, size.jobs)
    return figures


class _Slurm:
    """A running one."""

    def __init__(self, configuration: Path) -> None:
        self._environment = os.environ | {"SLURM_CONF": str(configuration)}

    def call(self, *words: str) -> str:
        """Run one of its commands; return what it prints. Raise NotMeasured: it failed."""
        done = subprocess.run(words, env=self._environment, capture_output=True, text=True, check=False, cwd="/")
        if done.returncode:
            raise NotMeasured(f"{words[0]} failed: {done.stderr.strip()[-300:]}")
        return done.stdout

    def submit(self, command: list[str], *more: str) -> None:
        """Submit a job of one card."""
        self.call("sbatch", "--parsable", "--gres=gpu:1", "-o", "/dev/null", *more, "--wrap", " ".join(command))

    def empty(self) -> None:
        """Cancel everything, and wait until it is gone."""
        self.call("scancel", "--user", getpass.getuser())
        end = time.monotonic() + _UP_SECONDS_MAX
        while self.call("squeue", "--noheader").strip():
            if time.monotonic() > end:
                raise NotMeasured("cancelled jobs are still there")
            time.sleep(0.1)


def _ran(slurm: _Slurm, folder: Path, size: Size) -> dict[str, float]:
    """Run the tasks as jobs of their own, and again as one array."""
    single, array = Tasks(folder / "single"), Tasks(folder / "array")
    began = time.time()
    _at_a_time(slurm, [single.command(number) for number in range(size.tasks)], _AT_ONCE)
    singly = single.rate(size.tasks, began, size.seconds_max)
    began = time.time()
    slurm.submit(array.command("$SLURM_ARRAY_TASK_ID"), f"--array=0-{size.tasks - 1}")
    at_once = array.rate(size.tasks, began, size.seconds_max)
    slurm.empty()
    return {"tasks_per_second": singly, "array_tasks_per_second": at_once}


def _submitted(slurm: _Slurm, jobs: int) -> dict[str, float]:
    """Submit jobs that are held, so that nothing is started beside it."""
    one = per_second(jobs, lambda: _at_a_time(slurm, [["true"]] * jobs, 1, "--hold"))
    slurm.empty()
    many = per_second(jobs, lambda: _at_a_time(slurm, [["true"]] * jobs, _AT_ONCE, "--hold"))
    slurm.empty()
    bulk = per_second(jobs, lambda: slurm.submit(["true"], "--hold", f"--array=0-{jobs - 1}"))
    slurm.empty()
    return {"submit_one_per_second": one, "submit_many_per_second": many, "submit_bulk_per_second": bulk}


def _at_a_time(slurm: _Slurm, commands: list[list[str]], at_once: int, *more: str) -> None:
    with ThreadPoolExecutor(at_once) as pool:
        for done in [pool.submit(slurm.submit, command, *more) for command in commands]:
            done.result()


@contextmanager
def _running(folder: Path, nodes: int) -> Iterator[_Slurm]:
    names = [f"npu{number:04}" for number in range(1, nodes + 1)]
    configuration = _configured(folder, names)
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    programs = [["slurmctld", "-D", "-c", "-f", str(configuration)]]
    programs += [["slurmd", "-D", "-N", name, "-f", str(configuration)] for name in names]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "log" / "out.log").open("ab") as log:
            for words in programs:
                started = subprocess.Popen(
                    words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
                processes.append(started)
        slurm = _Slurm(configuration)
        _until_up(slurm, processes, nodes, folder)
        yield slurm
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _configured(folder: Path, names: list[str]) -> Path:
    for name in ("state", "run", "log", "spool", "dev"):
        (folder / name).mkdir(parents=True)
    for card in range(CARDS_PER_NODE):
        (folder / "dev" / f"davinci{card}").symlink_to("/dev/null")  # gres wants a character device for each card
    port, *ports = _free_ports(1 + len(names))
    text = _CONFIGURATION.format(port=port, user=getpass.getuser(), folder=folder)
    nodes = [_NODE.format(name=name, port=port, cards=CARDS_PER_NODE) for name, port in zip(names, ports, strict=True)]
    head, partition = text.rsplit("PartitionName", 1)
    configuration = folder / "slurm.conf"
    configuration.write_text(head + "".join(nodes) + "PartitionName" + partition)
    devices = f"File={folder}/dev/davinci[0-{CARDS_PER_NODE - 1}]"
    lines = [f"NodeName={name} Name=gpu Type=ascend910b {devices}\n" for name in names]
    (folder / "gres.conf").write_text("AutoDetect=off\n" + "".join(lines))
    return configuration


def _until_up(slurm: _Slurm, processes: list["subprocess.Popen[bytes]"], nodes: int, folder: Path) -> None:
    end = time.monotonic() + _UP_SECONDS_MAX
    while True:
        ended = next((each for each in processes if each.poll() is not None), None)
        if ended is not None or time.monotonic() > end:
            tail = (folder / "log" / "out.log").read_text(errors="replace")[-500:]
            raise NotMeasured(f"Slurm did not come up: {tail.strip() or 'its nodes stay away'}")
        try:
            if len(slurm.call("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split()) == nodes:
                return
        except NotMeasured:  # the controller does not answer yet
            pass
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()
