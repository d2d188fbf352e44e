"""Random messages of any type, made from the type's descriptor: mostly nonsense, now and then nearly right."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

AGENTS_OWN = ["XISUAN_JOB_ID", "CUDA_VISIBLE_DEVICES"]
NASTY = st.sampled_from(
    [
        "",
        "a",
        "cuda",
        "job-1",
        "job-0",
        "a-",
        "A",
        "x" * 64,
        "x" * 300,
        "\0",
        "a\nb",
        "\u202eabc",
        "名前",
        "😀",
        *AGENTS_OWN,
    ]
)
TEXT = NASTY | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
BORDERS = [0, 1, -1, 2, 10, 11, 64, 65, 10_000, 10_001, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1]

RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.sampled_from([b for b in BORDERS if low <= b <= high]) | st.integers(low, high)


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.cpp_type in RANGES:
        return integers(*RANGES[field.cpp_type])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=12)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return TEXT
    return st.floats()


@st.composite
def messages(draw: st.DrawFn, kind: type[Message]) -> Any:
    """Return a message of the type with random fields set to random values."""
    message = kind()
    fields = list(message.DESCRIPTOR.fields)
    for field in draw(st.lists(st.sampled_from(fields), unique_by=lambda f: f.name)) if fields else []:
        _fill(draw, message, field)
    return message


def _fill(draw: st.DrawFn, message: Any, field: FieldDescriptor) -> None:
    target = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        target.update(draw(st.dictionaries(TEXT, TEXT, max_size=4)))
    elif field.message_type is not None:
        kind = field.message_type._concrete_class
        if field.is_repeated:
            target.extend(draw(st.lists(messages(kind), max_size=3)))
        else:
            target.CopyFrom(draw(messages(kind)))
    elif field.is_repeated:
        target.extend(draw(st.lists(scalar(field), max_size=4)))
    else:
        setattr(message, field.name, draw(scalar(field)))
