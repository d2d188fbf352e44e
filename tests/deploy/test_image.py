"""The steps of the image, as far as they go without Docker: the tree that it ships, run as its user, read-only."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from broker import postgres
from broker.api_key import ApiKey
from broker.client.settings import write_private
from broker.policy import key_file
from broker.postgres import EmbeddedServer
from tests.conftest import Dsns
from tests.deadlines import eventually_now
from tests.e2e.exchange import free_port

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "deploy" / "image"
USER = 10001


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own wheel, built from exactly what the Dockerfile copies."""
    folder = tmp_path_factory.mktemp("src")
    text = (IMAGE / "Dockerfile").read_text().split("FROM ${BASE} AS build")[1].split("\nFROM ")[0]
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for name in sources:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(ROOT / name, folder / Path(name).name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", folder / "wheels", folder], check=True)
    (made,) = (folder / "wheels").glob("*.whl")
    return made


def test_the_wheel_holds_everything_that_runs_and_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for room in ("broker", "scheduler", "benchmarks")
        for path in (ROOT / room).rglob("*")
        if path.suffix in {".py", ".sql", ".yaml", ".json"}
        and not {"__pycache__", "results"} & set(path.parts)  # what was measured is for readers of the checkout
    }

    assert wanted <= names, sorted(wanted - names)[:10]
    assert not [name for name in names if name.startswith(("tests/", "deploy/", "proto/"))]


READ_ONLY = """
mount --bind "$0" "$0" && for kept in home cache; do mount --bind "$0/$kept" "$0/$kept"; done
mount -o remount,ro,bind "$0" && exec "$@"
"""


def confined(root: Path) -> list[str]:
    """Return the command that takes away what the image's user has not: writing, and, where it can, being root.

    As root we make the tree read-only for this process and become the image's user, unless that user may not even run
    this Python (one below a closed home). Without root the modes of the files do.
    """
    if os.geteuid() != 0:
        return []
    read_only = ["unshare", "--mount", "sh", "-euc", READ_ONLY, str(root)]
    drop = [
        "setpriv",
        f"--reuid={USER}",
        f"--regid={USER}",
        "--clear-groups",
        "env",
        "--",
    ]  # `env` has none of our rights
    may_run = subprocess.run([*drop, sys.executable, "-c", ""], capture_output=True, check=False).returncode == 0
    return read_only + (drop if may_run else [])


@dataclass
class Tree:
    """What the image ships, in a folder: its packages, its entry point, and the places that are mounted."""

    root: Path

    @contextmanager
    def run(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Start the entry point as the image's user, with nothing but the image's environment."""
        environment = {
            "PATH": f"{self.root / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(self.root / "packages"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "XISUAN_HOME": str(self.root / "home"),
            "XISUAN_COMPILED": str(self.root / "compiled"),
        }
        with (self.root.parent / "log").open("ab") as log:
            process = subprocess.Popen(
                [*confined(self.root), "sh", str(self.root / "entrypoint.sh"), *arguments],
                env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)

    def log(self) -> str:
        return (self.root.parent / "log").read_text()


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that others may enter and programs may be run in, which memory disks often forbid."""
    with tempfile.TemporaryDirectory(prefix="xisuan-image-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def tree(wheel: Path, ground: Path) -> Iterator[Tree]:
    """The tree, read-only but for what is mounted. Third-party packages are this environment's: they are the lock's."""
    root = ground / "image"
    packages = root / "packages"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(packages)
    (root / "bin").mkdir()
    program = root / "bin" / "xisuan"
    program.write_text(f"#!{sys.executable}\nfrom broker.cli.main import main\nmain()\n")
    shutil.copyfile(IMAGE / "entrypoint.sh", root / "entrypoint.sh")
    compiled = next(iter((ROOT / "scheduler" / "__pycache__").glob("compiled-*")), None)
    if compiled is not None:
        shutil.copytree(compiled, root / "compiled")
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() or path == program else 0o444)
    for name in ("home", "cache"):
        root.chmod(0o755)
        (root / name).mkdir()
        (root / name).chmod(0o700)
        if os.geteuid() == 0:
            os.chown(root / name, USER, USER)
    root.chmod(0o555)
    yield Tree(root)
    if (root / "home" / "postgres").is_dir():
        postgres.destroy(root / "home" / "postgres")
    for path in (root, *root.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def probe(port: int, path: str) -> int:
    """Ask with the image's own probe, as its health check does. Return the exit code."""
    done = subprocess.run(
        [sys.executable, IMAGE / "probe.py", path], env={"XISUAN_PROBES": f"127.0.0.1:{port}"},
        capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode


async def test_a_replica_starts_is_healthy_and_ends_on_a_read_only_tree(
    tree: Tree, shared_server: EmbeddedServer, superuser: asyncpg.Connection, dsns: Dsns
) -> None:
    """Migrated by the owner, then served as a user who may write nowhere but into its cache."""
    secrets = tree.root.parent / "secrets"
    secrets.mkdir(mode=0o700)
    database = dsns.city.partition("?")[0].rpartition("/")[2]
    await superuser.execute("CREATE ROLE imaged LOGIN NOINHERIT PASSWORD 'secret'")
    await superuser.execute("GRANT xisuan_city, xisuan_hub TO imaged")
    there = f"127.0.0.1:{shared_server.secrets.port}/{database}"
    password = shared_server.secrets.passwords["xisuan_owner"]
    write_private(secrets / "dsn", f"postgresql://imaged:secret@{there}")
    write_private(secrets / "dsn_owner", f"postgresql://xisuan_owner:{password}@{there}")
    write_private(secrets / "operator.key", ApiKey.generate().text)
    key_file.make(secrets / "policy.pem")
    if os.geteuid() == 0:
        for path in (secrets, *secrets.iterdir()):
            os.chown(path, USER, USER)
    port, probes = free_port(), free_port()
    before = {path for path in tree.root.rglob("*") if not {"home", "cache"} & set(path.relative_to(tree.root).parts)}

    with tree.run("migrate", f"--dsn=@{secrets / 'dsn_owner'}") as migrating:
        assert migrating.wait(60) == 0, tree.log()
    with tree.run(
        "serve", "--log=json", f"--listen=127.0.0.1:{port}", f"--metrics-listen=127.0.0.1:{probes}",
        f"--dsn=@{secrets / 'dsn'}", f"--set=operator_key={secrets / 'operator.key'}",
        f"--set=policy_key={secrets / 'policy.pem'}",
    ) as serving:  # fmt: skip
        eventually_now(lambda: probe(probes, "/readyz") == 0 or serving.poll() is not None, seconds=60)
        healthy, live = probe(probes, "/readyz"), probe(probes, "/livez")
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
    await superuser.execute("DROP ROLE imaged")
    code, gone = serving.returncode, probe(probes, "/readyz")
    files = [path for path in tree.root.rglob("*") if not {"home", "cache"} & set(path.relative_to(tree.root).parts)]

    assert (healthy, live) == (0, 0), tree.log()
    assert gone != 0
    assert code == 0
    assert set(files) == before
    assert any((tree.root / "cache" / "compiled").iterdir()) == (tree.root / "compiled").is_dir()
