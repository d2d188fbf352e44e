"""Image, compose file, Kubernetes manifests and systemd units are what their formats and we want them to be.

No container runs here: there is no Docker where we test. What can be checked without one is: published schemas,
linters, the steps of the image (test_image.py), and that every flag and file that is named exists.
"""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from broker.cli.main import app
from broker.config import Settings
from broker.policy import key_file

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("production", "trial")
RELEASES = ("1.29", "1.33", "1.37")
"""Of Kubernetes: the oldest that we write for, and newer ones."""

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def ran(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a tool of this environment and return what it says; fail with that when it fails."""
    tool = Path(sys.prefix, "bin", str(command[0]))
    done = subprocess.run(
        [tool if tool.exists() else command[0], *command[1:]], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/ with secrets drawn, as whoever deploys has it."""
    copy = tmp_path_factory.mktemp("tree") / "deploy"
    shutil.copytree(DEPLOY, copy, ignore=shutil.ignore_patterns("secrets", ".env"))
    ran("bash", copy / "compose" / "make-secrets.sh")
    ran("bash", copy / "compose" / "make-secrets.sh", copy / "kubernetes" / "overlays" / "trial" / "secrets")
    return copy


@pytest.fixture(scope="module")
def rendered(tree: Path) -> dict[str, list[dict[str, Any]]]:
    """What each overlay makes."""
    return {
        name: list(yaml.safe_load_all(ran("kubectl", "kustomize", tree / "kubernetes" / "overlays" / name)))
        for name in OVERLAYS
    }


# --- the image -----------------------------------------------------------------------------------------------------


def test_the_dockerfile_passes_its_linter() -> None:
    ran("hadolint", "--failure-threshold", "info", DEPLOY / "image" / "Dockerfile")


def test_the_image_is_built_from_the_lock_files_and_ends_without_root() -> None:
    last = (DEPLOY / "image" / "Dockerfile").read_text().split("\nFROM ")[-1]

    assert (DEPLOY / "image" / "Dockerfile").read_text().count("--require-hashes") == 2
    assert "--hash=sha256:" in (DEPLOY / "image" / "build.lock").read_text()
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert not re.search(r"apt-get|pip install|gcc", last)


def test_what_the_dockerfile_copies_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    sent = [line[1:].removesuffix("/**") for line in lines if line.startswith("!")]
    text = (DEPLOY / "image" / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(?:--chmod=\S+ )?(.*) \S+$", text, re.MULTILINE)

    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
        assert any(name == each or name.startswith(f"{each}/") for each in sent), f"{name} is not sent"


# --- compose -------------------------------------------------------------------------------------------------------


def test_the_compose_file_keeps_its_published_schema() -> None:
    ran("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose" / "compose.yaml")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    return found


def test_every_file_and_name_of_the_compose_file_exists(tree: Path) -> None:
    here, found = tree / "compose", compose()

    for kind in ("secrets", "configs"):
        for name, each in found[kind].items():
            assert (here / each["file"]).is_file(), name
    for name, service in found["services"].items():
        used = {each if isinstance(each, str) else each["source"] for each in service.get("secrets", ())}
        assert used <= found["secrets"].keys(), name
        assert {each["source"] for each in service.get("configs", ())} <= found["configs"].keys(), name
        assert set(service.get("networks", ())) <= found["networks"].keys(), name
        assert set(service.get("depends_on", ())) <= found["services"].keys(), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (here / source).exists() if source.startswith(".") else source in found["volumes"], volume


def test_only_loopback_is_published_and_no_secret_stands_in_the_environment() -> None:
    for name, service in compose()["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        values = [str(value) for value in service.get("environment", {}).values()]
        assert not [value for value in values if re.search(r"postgresql://|xs_[a-z2-7]{12}", value)], name
        if name != "postgres":
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name


def test_agents_of_the_compose_file_could_be_registered() -> None:
    """Its hubs and models are in the world that its broker applies."""
    world = yaml.safe_load((ROOT / "broker" / "worlds" / "laptop.yaml").read_text())
    models = (ROOT / "broker" / "worlds" / "models.yaml").read_text()

    for name, service in compose()["services"].items():
        if name.startswith("agent-"):
            assert service["environment"]["HUB"] in {hub["hub"] for hub in world["hubs"]}
            (inventory,) = (each["source"] for each in service["configs"])
            for pool in yaml.safe_load((DEPLOY / "compose" / f"{inventory}.yaml").read_text())["pools"]:
                assert f"model: {pool['model']}\n" in models
                assert f"--ask {pool['model']}=" in service["environment"]["ASKS"]


def test_secrets_are_drawn_once_and_are_as_the_broker_wants_them(tree: Path) -> None:
    folder = tree / "compose" / "secrets"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    ran("bash", tree / "compose" / "make-secrets.sh")

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert folder.stat().st_mode & 0o777 == 0o700
    assert key_file.read(folder / "policy_key").public_key.startswith("ed25519:")
    assert re.fullmatch(r"xs_[a-z2-7]{12}_[a-z2-7]{52}\n", before["operator_key"].decode())
    assert "XISUAN_USER=" in (tree / "compose" / ".env").read_text()
    assert "XISUAN_USER=0" not in (tree / "compose" / ".env").read_text()


# --- Kubernetes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_keep_the_schemas_of_kubernetes(
    overlay: str, release: str, rendered: dict[str, list[dict[str, Any]]]
) -> None:
    """All but the ServiceMonitor, whose definition is the Prometheus operator's and not to be had here."""
    foreign = set()
    for resource in rendered[overlay]:
        try:
            kubernetes_validate.validate(resource, release, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            foreign.add(resource["kind"])

    assert foreign <= {"ServiceMonitor"}


def of_kind(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in resources if each["kind"] == kind]


def pods(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kinds = ("Deployment", "Job", "StatefulSet")
    return [each["spec"]["template"] for kind in kinds for each in of_kind(resources, kind)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_manifests_name_is_there(overlay: str, rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Selectors find pods, mounts have volumes, probes have ports; secrets of the trial are made by it."""
    resources = rendered[overlay]
    made = {(each["kind"], each["metadata"]["name"]) for each in resources}
    labels = [pod["metadata"]["labels"] for pod in pods(resources)]
    selectors = [
        *(each["spec"]["selector"] for each in of_kind(resources, "Service")),
        *(each["spec"]["selector"]["matchLabels"] for each in of_kind(resources, "PodDisruptionBudget")),
        *(each["spec"]["podSelector"]["matchLabels"] for each in of_kind(resources, "NetworkPolicy")),
    ]

    assert not [each for each in selectors if not any(each.items() <= found.items() for found in labels)]
    for pod in pods(resources):
        volumes = {each["name"]: each for each in pod["spec"].get("volumes", ())}
        for container in pod["spec"]["containers"]:
            ports = {each["name"] for each in container.get("ports", ())}
            probes = [container[name] for name in container if name.endswith("Probe")]
            assert all(each["httpGet"]["port"] in ports for each in probes if "httpGet" in each)
            assert {each["name"] for each in container["volumeMounts"]} - volumes.keys() <= {"data"}
        for each in volumes.values():
            name = each.get("secret", {}).get("secretName")
            assert name is None or overlay == "production" or ("Secret", name) in made


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_run_without_rights(overlay: str, rendered: dict[str, list[dict[str, Any]]]) -> None:
    for pod in pods(rendered[overlay]):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"].get("readOnlyRootFilesystem") or container["name"] == "postgres"
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


def test_a_broker_stays_when_nodes_are_drained(rendered: dict[str, list[dict[str, Any]]]) -> None:
    (budget,) = of_kind(rendered["production"], "PodDisruptionBudget")
    (deployment,) = of_kind(rendered["production"], "Deployment")

    assert 0 < budget["spec"]["minAvailable"] < deployment["spec"]["replicas"]
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_world_of_the_base_is_the_bundled_one() -> None:
    base = DEPLOY / "kubernetes" / "base" / "world.yaml"

    assert base.read_text() == (ROOT / "broker" / "worlds" / "laptop.yaml").read_text()


# --- systemd -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_right_and_confined(unit: Path, tmp_path: Path) -> None:
    """Verified with the program where it would be; the exposure level is systemd's own measure, 10 the worst."""
    for each in unit.parent.iterdir():
        text = each.read_text().replace("/opt/xisuan/bin/xisuan", str(Path(sys.prefix, "bin", "xisuan")))
        (tmp_path / each.name).write_text(text)
    named = tmp_path / unit.name.replace("@.", "@lab.")

    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", named], capture_output=True, text=True, check=False
    ).stderr
    ran("systemd-analyze", "security", "--offline=yes", "--threshold=25", tmp_path / unit.name)

    assert not [line for line in said.split("\n") if "xisuan" in line]


def test_the_timer_starts_the_backup() -> None:
    assert (DEPLOY / "systemd" / "xisuan-backup.timer").with_suffix(".service").exists()
    assert "OnCalendar" in ran("systemd-analyze", "--version") or ran("systemd-analyze", "calendar", "*-*-* 02:40:00")


# --- commands that are named ---------------------------------------------------------------------------------------


@cache
def help_of(command: str) -> str:
    return CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"}).output


def test_every_option_and_setting_that_is_named_exists(rendered: dict[str, list[dict[str, Any]]]) -> None:
    commands = [list(compose()["services"][name]["command"]) for name in ("broker", "migrate")]
    for overlay in OVERLAYS:
        commands += [
            container["args"]
            for pod in pods(rendered[overlay])
            for container in pod["spec"]["containers"]
            if "xisuan" in container["image"]
        ]
    for unit in UNITS:
        commands += [line.split()[1:] for line in unit.read_text().split("\n") if line.startswith("ExecStart=")]

    assert len(commands) >= 9
    for words in commands:
        name = " ".join(words[: 2 if words[0] == "backup" else 1])
        for word in words:
            option, _, value = word.partition("=")
            if option.startswith("--"):
                assert option in help_of(name), f"{name} {option}"
            if option == "--set":
                assert value.partition("=")[0] in Settings.model_fields, word
