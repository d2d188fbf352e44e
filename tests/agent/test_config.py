"""The agent's configuration is checked whole, and says what is wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.agent.config import BadConfig, load_config, parse_config
from broker.agent.convert import hello

GOOD = """
endpoint: 127.0.0.1:7443
cluster: gansu-lab
key_file: agent.key
state_dir: state
pools:
  - {pool: ascend, model: ascend-910b, nodes: 2, cards: 8, cpu_milli: 192000, memory_mib: 1048576}
  - {pool: mlu, model: mlu590, nodes: [special.1, special.2], cards: 4, cpu_milli: 0, memory_mib: 0}
"""


def test_a_good_file_is_understood(tmp_path: Path) -> None:
    """Counted nodes get names, and paths are relative to the file."""
    (tmp_path / "agent.yaml").write_text(GOOD)

    config = load_config(tmp_path / "agent.yaml")

    assert config.state_dir == tmp_path / "state"
    assert [[node.node for node in pool.nodes] for pool in config.stock()] == [
        ["gansu-lab-ascend-1", "gansu-lab-ascend-2"],
        ["special.1", "special.2"],
    ]
    assert config.stock()[0].nodes[0].cards == 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cluster: gansu-lab", "cluster: Gansu Lab", r"cluster: must be 1 to 63"),
        ("cluster:", "custer:", r"custer: unknown key, did you mean 'cluster'"),
        ("cards: 8", "crads: 8", r"pools\[0\]\.crads: unknown key, did you mean 'cards'"),
        ("cards: 8", "cards: 65", r"pools\[0\]\.cards: .*64"),
        ("cards: 8", "cards: -1", r"pools\[0\]\.cards: .*0"),
        ("127.0.0.1:7443", "broker.example:7443", r"tls_ca: .*CA file"),
        ("127.0.0.1:7443", "127.0.0.1", r"endpoint: must be HOST:PORT"),
        ("127.0.0.1:7443", "127.0.0.1:99999", r"endpoint: must be HOST:PORT"),
        ("special.2", "special.1", r"pools: node 'special.1' is there twice"),
        ("special.2", "..", r"pools\[1\]\.nodes: '\.\.' is no name of a node"),
        ("special.2", "a/b", r"pools\[1\]\.nodes: 'a/b' is no name of a node"),
        ("pool: mlu", "pool: ascend", r"pools: a pool is there twice"),
        ("nodes: 2", "nodes: 0", r"pools\[0\]\.nodes"),
        ("nodes: 2", "nodes: 20001", r"pools\[0\]\.nodes"),
        (GOOD, "pools: &a [*a]", r"aliases"),
        (GOOD, "- just\n- a list", r"must be a mapping"),
        (GOOD, "{", r"not valid YAML"),
        (GOOD, "\0", r"not valid YAML"),
        ("state_dir: state", "state_dir: ~nobody-of-that-name/x", r"state_dir: .* write the whole path"),
        ("state_dir: state", 'state_dir: "a\\0b"', r"state_dir: a path holds no zero byte"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    """With the field, and what would be right."""
    with pytest.raises(BadConfig, match=said):
        parse_config(GOOD.replace(old, new), source="agent.yaml", base=tmp_path)


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_an_error(text: str) -> None:
    """Never anything else."""
    with pytest.raises(BadConfig):
        parse_config(text, source="agent.yaml", base=Path())


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("xs_1_secret\n", 0o644, "chmod 600"),
        ("", 0o600, "one API key"),
        ("a b", 0o600, "one API key"),
        (None, 0, "read"),
    ],
)
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, content: str | None, mode: int, said: str) -> None:
    """A key is a key only as long as it is secret."""
    config = parse_config(GOOD, source="agent.yaml", base=tmp_path)
    if content is not None:
        config.key_file.write_text(content)
        config.key_file.chmod(mode)

    with pytest.raises(BadConfig, match=said):
        config.read_key()


def test_a_good_key_is_read(tmp_path: Path) -> None:
    config = parse_config(GOOD, source="agent.yaml", base=tmp_path)
    config.key_file.touch(mode=0o600)
    config.key_file.write_text("xs_1_secret\n")

    assert config.read_key() == "xs_1_secret"


def test_nodes_are_told_with_their_fabric_domain(tmp_path: Path) -> None:
    """So many to a domain, in the order of their names; without it nobody knows."""
    plain = parse_config(GOOD, source="agent.yaml", base=tmp_path)
    config = parse_config(GOOD.replace("nodes: 2", "nodes: 5, nodes_per_domain: 2"), source="a", base=tmp_path)

    assert {node.domain for pool in plain.stock() for node in pool.nodes} == {""}
    domains = [node.domain for node in config.stock()[0].nodes]
    assert domains == ["ascend-0001", "ascend-0001", "ascend-0002", "ascend-0002", "ascend-0003"]
    wire = hello(cluster="lab", instance="x", version="1", engine="local", pools=config.stock())
    assert [node.domain for node in wire.hello.pools[0].nodes] == domains
