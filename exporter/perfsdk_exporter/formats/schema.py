"""The messages of Prometheus's protobuf format that we write, declared without generated code.

They are wire-compatible with `io.prometheus.client` and live in a descriptor pool of their own:
another declaration of that package in the same process neither meets nor disturbs this one.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "io.prometheus.client"

_METRIC_TYPES = ("COUNTER", "GAUGE", "SUMMARY", "UNTYPED", "HISTOGRAM")

_SCALARS = {
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "sint32": FieldDescriptorProto.TYPE_SINT32,
    "sint64": FieldDescriptorProto.TYPE_SINT64,
    "string": FieldDescriptorProto.TYPE_STRING,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
}

# google.protobuf.Timestamp is declared here again: in this pool there is no other file.
_MESSAGES = {
    "Timestamp": ("int64 seconds 1", "int32 nanos 2"),
    "LabelPair": ("string name 1", "string value 2"),
    "Exemplar": ("repeated LabelPair label 1", "double value 2", "Timestamp timestamp 3"),
    "Gauge": ("double value 1",),
    "Counter": ("double value 1",),
    "Untyped": ("double value 1",),
    "Summary": ("uint64 sample_count 1", "double sample_sum 2"),
    "Bucket": ("uint64 cumulative_count 1", "double upper_bound 2", "Exemplar exemplar 3"),
    "BucketSpan": ("sint32 offset 1", "uint32 length 2"),
    "Histogram": (
        "uint64 sample_count 1",
        "double sample_sum 2",
        "repeated Bucket bucket 3",
        "sint32 schema 5",
        "double zero_threshold 6",
        "uint64 zero_count 7",
        "repeated BucketSpan positive_span 12",
        "repeated sint64 positive_delta 13",
        "repeated Exemplar exemplars 16",
    ),
    "Metric": (
        "repeated LabelPair label 1",
        "Gauge gauge 2",
        "Counter counter 3",
        "Summary summary 4",
        "Untyped untyped 5",
        "Histogram histogram 7",
    ),
    "MetricFamily": (
        "string name 1",
        "string help 2",
        "MetricType type 3",
        "repeated Metric metric 4",
        "string unit 5",
    ),
}


def _declare(*names: str) -> list[Any]:
    """The classes of the messages of these names."""
    file = FileDescriptorProto(name="prometheus.proto", package=PACKAGE, syntax="proto2")
    types = file.enum_type.add(name="MetricType")
    for number, name in enumerate(_METRIC_TYPES):
        types.value.add(name=name, number=number)
    for message, fields in _MESSAGES.items():
        file.message_type.add(name=message, field=map(_field, fields))
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return [GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in names]


def _field(declaration: str) -> FieldDescriptorProto:
    """A field from `[repeated] type name number`."""
    *repeated, kind, name, number = declaration.split()
    field = FieldDescriptorProto(name=name, number=int(number))
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = field.TYPE_MESSAGE if kind in _MESSAGES else field.TYPE_ENUM
        field.type_name = f".{PACKAGE}.{kind}"
    return field


MetricFamily, Exemplar = _declare("MetricFamily", "Exemplar")
"""Message classes; of type Any, since their fields are known at run time alone."""
