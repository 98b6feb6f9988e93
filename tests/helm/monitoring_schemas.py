"""The fields of the Prometheus Operator's objects that our charts use; any other is refused.

Reduced by hand from monitoring.coreos.com/v1. A duration is the operator's own, not Go's.
"""

DURATION = {
    "type": "string",
    "pattern": "^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$",
    "minLength": 1,
}
TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
MAP = {"type": "object", "additionalProperties": TEXT}
BOOLEAN = {"type": "boolean"}


def _object(required=(), **properties):
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


SELECTOR = _object(
    matchLabels=MAP,
    matchExpressions={
        "type": "array",
        "items": _object(
            ["key", "operator"],
            key=TEXT,
            operator={"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
            values=TEXTS,
        ),
    },
)
KEY = _object(["key"], name=TEXT, key=TEXT, optional=BOOLEAN)
RELABELINGS = {
    "type": "array",
    "items": _object(
        sourceLabels=TEXTS,
        separator=TEXT,
        targetLabel=TEXT,
        regex=TEXT,
        modulus={"type": "integer"},
        replacement=TEXT,
        action={
            "enum": ["replace", "keep", "drop", "hashmod", "labelmap", "labeldrop", "labelkeep"]
        },
    ),
}
SECRET_OR_CONFIG_MAP = _object(secret=KEY, configMap=KEY)
ENDPOINT = _object(
    ["port"],
    port=TEXT,
    path=TEXT,
    scheme={"enum": ["http", "https"]},
    interval=DURATION,
    scrapeTimeout=DURATION,
    relabelings=RELABELINGS,
    metricRelabelings=RELABELINGS,
    basicAuth=_object(username=KEY, password=KEY),
    tlsConfig=_object(
        ca=SECRET_OR_CONFIG_MAP,
        cert=SECRET_OR_CONFIG_MAP,
        keySecret=KEY,
        serverName=TEXT,
        insecureSkipVerify=BOOLEAN,
        minVersion=TEXT,
        maxVersion=TEXT,
    ),
)


def _monitor(endpoints, labels):
    return _object(
        ["selector", endpoints],
        jobLabel=TEXT,
        selector=SELECTOR,
        namespaceSelector=_object(any=BOOLEAN, matchNames=TEXTS),
        sampleLimit={"type": "integer", "minimum": 1},
        scrapeNativeHistograms=BOOLEAN,
        scrapeClassicHistograms=BOOLEAN,
        **{endpoints: {"type": "array", "minItems": 1, "items": ENDPOINT}, labels: TEXTS},
    )


RULE = _object(
    ["expr"],
    record={"type": "string", "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"},
    alert=TEXT,
    expr=TEXT,
    labels=MAP,
    annotations=MAP,
    **{"for": DURATION, "keep_firing_for": DURATION},
)
GROUP = _object(
    ["name", "rules"],
    name={"type": "string", "minLength": 1},
    interval=DURATION,
    limit={"type": "integer"},
    rules={"type": "array", "minItems": 1, "items": RULE},
)
SPECIFICATIONS = {
    "PodMonitor": _monitor("podMetricsEndpoints", "podTargetLabels"),
    "ServiceMonitor": _monitor("endpoints", "targetLabels"),
    "PrometheusRule": _object(["groups"], groups={"type": "array", "items": GROUP}),
}


def schema(kind):
    """The schema of an object of the operator."""
    metadata = _object(
        ["name", "namespace"], name=TEXT, namespace=TEXT, labels=MAP, annotations=MAP
    )
    return _object(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "monitoring.coreos.com/v1"},
        kind={"const": kind},
        metadata=metadata,
        spec=SPECIFICATIONS[kind],
    )
