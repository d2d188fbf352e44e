"""The page of the wire: services, methods, messages and limits, from the comments in `proto/`."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from broker.reference import markdown as md
from broker.rpc.identity import MAY_CALL

PROTO: Final = Path(__file__).parents[2] / "proto"
PACKAGE: Final = "broker.wire.v1"
INTRODUCTION: Final = """\
gRPC, package `broker.wire.v1`; sources in [`proto/broker/wire/v1`](../../proto/broker/wire/v1). Every call carries
`authorization: Bearer <API key>`; the column "roles" says whose keys a method takes. Health (`grpc.health.v1`) and
reflection are open from this machine without a key. A message has 16 MiB at most. Changes that break an older client
fail `make check`."""

# Numbers of descriptor.proto, by which comments are found: a path such as (4, 0, 2, 1) is field 1 of message 0.
_MESSAGE, _ENUM, _SERVICE, _FIELD, _VALUE, _METHOD, _NESTED = 4, 5, 6, 2, 2, 2, 3
_Place = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """One .proto file with its comments by place."""

    file: FileDescriptorProto
    comments: dict[_Place, str]

    def comment(self, place: _Place, name: str) -> str:
        """Return the comment at a place. Raise ValueError when there is none."""
        if not self.comments.get(place):
            raise ValueError(f"{self.file.name}: {name} has no comment")
        return md.prose(self.comments[place])


def page() -> str:
    """Return the page."""
    lines = md.generated("The wire", "the comments in `proto/`", INTRODUCTION)
    sources = read(PROTO)
    for source in sources:
        for number, service in enumerate(source.file.service):
            lines += _service(source, (_SERVICE, number), service)
    for source in sources:
        lines += [f"## {Path(source.file.name).name}", "", *_head(source)]
        for number, message in enumerate(source.file.message_type):
            lines += _message(source, (_MESSAGE, number), message)
        for number, enum in enumerate(source.file.enum_type):
            lines += _enum(source, (_ENUM, number), enum)
    return md.text(lines)


def read(folder: Path) -> list[Source]:
    """Return the project's own .proto files below a folder, with their comments."""
    # Backwards, so that what most people call comes first and operators' calls last.
    names = sorted((str(path.relative_to(folder)) for path in folder.rglob("*.proto")), reverse=True)
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "grpc_tools.protoc",
                f"-I{folder}",
                "--include_source_info",
                f"-o{out.name}",
                *names,
            ],
            check=True,
        )
        found = FileDescriptorSet.FromString(Path(out.name).read_bytes())
    return [Source(file, _comments(file)) for file in found.file]


def _comments(file: FileDescriptorProto) -> dict[_Place, str]:
    return {tuple(at.path): at.leading_comments.strip() for at in file.source_code_info.location}


def _head(source: Source) -> Iterator[str]:
    """Yield what stands at the head of the file, paragraph by paragraph."""
    detached = next(at.leading_comments for at in source.file.source_code_info.location if tuple(at.path) == (12,))
    yield from (line.strip() for line in detached.strip().split("\n"))
    yield ""


def _service(source: Source, place: _Place, service: ServiceDescriptorProto) -> list[str]:
    rows = []
    for number, method in enumerate(service.method):
        roles = ", ".join(sorted(MAY_CALL[f"/{PACKAGE}.{service.name}/{method.name}"]))
        takes = ("stream " if method.client_streaming else "") + _link(method.input_type)
        gives = ("stream " if method.server_streaming else "") + _link(method.output_type)
        meaning = source.comment((*place, _METHOD, number), f"{service.name}.{method.name}")
        rows.append((md.code(method.name), takes, gives, roles, meaning))
    meaning = source.comment(place, service.name)
    return [f"## {service.name}", "", meaning, "", *md.table(["method", "takes", "gives", "roles", "meaning"], rows)]


def _message(source: Source, place: _Place, message: DescriptorProto) -> list[str]:
    maps = {entry.name: entry for entry in message.nested_type if entry.options.map_entry}
    rows = [
        (field.number, md.code(field.name), _type(field, maps), source.comment((*place, _FIELD, i), field.name))
        for i, field in enumerate(message.field)
    ]
    nested = [(i, inner) for i, inner in enumerate(message.nested_type) if not inner.options.map_entry]
    lines = [f"### {message.name}", "", source.comment(place, message.name), ""]
    lines += md.table(["nr", "field", "type", "meaning and limits"], rows) if rows else []
    for i, inner in nested:
        lines += _message(source, (*place, _NESTED, i), inner)
    return lines


def _enum(source: Source, place: _Place, enum: EnumDescriptorProto) -> list[str]:
    rows = [
        (value.number, md.code(value.name), source.comment((*place, _VALUE, i), value.name))
        for i, value in enumerate(enum.value)
    ]
    lines = [f"### {enum.name}", "", source.comment(place, enum.name), ""]
    return lines + md.table(["nr", "value", "meaning"], rows)


def _type(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    name = field.type_name.rpartition(".")[2]
    if name in maps:
        key, value = maps[name].field
        return f"map of {_plain(key)} to {_plain(value)}"
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    choice = field.HasField("oneof_index") and not field.proto3_optional
    return ("list of " if repeated else "") + _plain(field) + (" (one of)" if choice else "")


def _plain(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _link(field.type_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _link(type_name: str) -> str:
    package, _, name = type_name.removeprefix(".").rpartition(".")
    return f"[{name}](#{name.lower()})" if package == PACKAGE else md.code(f"{package}.{name}".rpartition(".")[2])
