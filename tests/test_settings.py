"""Settings come from keywords, then the environment, and a wrong one is named in one line."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.settings import Settings, SettingsError, load_settings

DEFAULTS = Settings()
VARIABLES = {field.name: field.metadata["env"] for field in dataclasses.fields(Settings)}

GOOD_KEYWORDS = [
    ("enabled", False, False),
    ("directory", "/run/perfsdk", "/run/perfsdk"),
    ("directory", Path("/run/perfsdk"), "/run/perfsdk"),
    ("directory", "relative/dïr", "relative/dïr"),
    ("directory_mode", 0o770, 0o770),
    ("service", "größe/1.x", "größe/1.x"),
    ("resource_attributes", {"a.b": ""}, {"a.b": ""}),
    ("resource_attributes", {}, {}),
    ("segment_size_bytes", 1 << 20, 1 << 20),
    ("segment_size_bytes", 256 << 20, 256 << 20),
    ("sample_interval_seconds", 1, 1),
    ("sample_interval_seconds", 0.1, 0.1),
    ("sample_interval_seconds", 3600, 3600),
    ("disabled_integrations", ("redis",), ("redis",)),
    ("disabled_integrations", ["redis", "sqlite3"], ("redis", "sqlite3")),
    ("disabled_integrations", (), ()),
    ("tracing", True, True),
    ("tracing", False, False),
    ("mirror_registry", True, True),
    ("trust_queue_time", True, True),
    (
        "exclude",
        ["/a", "!/health", "*.png", "<unmatched>"],
        ("/a", "!/health", "*.png", "<unmatched>"),
    ),
    ("exclude", (), ()),
    ("route_labels", {"plan": ["free", "pro"]}, {"plan": ("free", "pro")}),
    ("route_labels", {}, {}),
    ("latency_objective", 1, 1.0),
    ("latency_objective", 0.3, 0.3),
    ("latency_objective", {"/a": 0.2, "/b": 0.8, "/c": 0.2}, {"/a": 0.2, "/b": 0.8, "/c": 0.2}),
]
GOOD_TEXTS = [
    *[("enabled", text, True) for text in ("1", "true", "TRUE", "yes", "on", " On ")],
    *[("enabled", text, False) for text in ("0", "false", "False", "no", "off", " off\n")],
    ("directory", "/run/perfsdk", "/run/perfsdk"),
    ("directory", "/run/\udc80", "/run/\udc80"),
    ("directory_mode", "0700", 0o700),
    ("directory_mode", "770", 0o770),
    ("directory_mode", "0o770", 0o770),
    ("service", "shop api", "shop api"),
    ("service", "../etc/..", "../etc/.."),
    ("resource_attributes", "a=b, c = d%2Ce ,", {"a": "b", "c": "d,e"}),
    ("resource_attributes", "a=b=c,d=", {"a": "b=c", "d": ""}),
    ("segment_size_bytes", "2097152", 2097152),
    ("sample_interval_seconds", "0.5", 0.5),
    ("disabled_integrations", "redis, sqlite3,", ("redis", "sqlite3")),
    ("disabled_integrations", ",", ()),
    ("tracing", "1", True),
    ("tracing", "off", False),
    ("mirror_registry", "1", True),
    ("trust_queue_time", "on", True),
    ("exclude", "/internal/*, !/health,", ("/internal/*", "!/health")),
    (
        "route_labels",
        "plan=free|pro, region = eu | us",
        {"plan": ("free", "pro"), "region": ("eu", "us")},
    ),
    ("latency_objective", "0.3", 0.3),
    ("latency_objective", "/checkout=0.2, /a=b/c=0.8", {"/checkout": 0.2, "/a=b/c": 0.8}),
    ("metrics_path", "/metrics", "/metrics"),
    ("metrics_path", "/-/a.b/c_d~e", "/-/a.b/c_d~e"),
    ("queries_path", "/-/queries", "/-/queries"),
]
BAD_KEYWORDS = [
    *[("enabled", value) for value in (0, 1, "1", "yes", [])],
    *[(name, value) for name in ("tracing", "mirror_registry") for value in (0, 1, "yes")],
    *[("metrics_path", value) for value in ("", "/", "metrics", "/a/", "//a", "/a b", "/{x}", 1)],
    *[("queries_path", value) for value in ("", "/", "queries", True)],
    *[("directory", value) for value in ("", "a\0b", 42, b"/run", "/\ud800", [])],
    *[("directory_mode", value) for value in (700, 770, "0700", 0o777, 0, 448.0, [], True)],
    *[("service", value) for value in ("", " ", "a\nb", "\udc80", 1, b"x")],
    *[("resource_attributes", value) for value in ("a=b", {"a": 1}, {1: "a"}, {"": "a"}, [])],
    *[("segment_size_bytes", value) for value in (0, -1, (1 << 20) - 1, 1e7, "16777216", True)],
    ("segment_size_bytes", (256 << 20) + 1),
    *[("sample_interval_seconds", value) for value in (0, 0.09, -1, 3601, "5", True)],
    *[("sample_interval_seconds", float(value)) for value in ("nan", "inf", "-inf")],
    *[("disabled_integrations", value) for value in ("redis", [1], {"redis": 1}, 1)],
]
BAD_KEYWORDS += [
    *[("exclude", value) for value in ("/a", ["a"], [""], ["!"], [1], {"/a": 1})],
    *[("route_labels", value) for value in ("plan", ["plan"], {"plan": []}, {"plan": "free"})],
    *[("route_labels", {name: ["a"]}) for name in ("", "1a", "a-b", "__a", "le", "http_route", 1)],
    *[("route_labels", {"plan": values}) for values in ([""], [1], ["a"] * 21)],
    ("route_labels", {f"label_{n}": ["a"] for n in range(6)}),
    *[("latency_objective", value) for value in (0, -1, True, "1", [1], {}, {"": 1}, {"/a": 0})],
    *[("latency_objective", float(value)) for value in ("nan", "inf")],
    ("latency_objective", {f"/{n}": n / 10 for n in range(1, 6)}),
]
BAD_TEXTS = [
    *[("enabled", text) for text in (" ", "2", "maybe", "enabled", "-1")],
    *[("tracing", text) for text in (" ", "http://localhost:4318")],
    *[("metrics_path", text) for text in ("/", "metrics", "/a?b", "/a\n", "http://localhost/a")],
    *[("directory_mode", text) for text in ("0777", "0", "rwx", "448", "-0700", "9")],
    *[("service", text) for text in (" ", "a\nb", "\x1b[31m")],
    *[("resource_attributes", text) for text in ("a", "=b", "a=b,c", " = ", "%=a,=")],
    *[("segment_size_bytes", text) for text in ("16MiB", "1e7", "1048575", "-1", "9" * 5000)],
    *[("slow_query_seconds", text) for text in ("1s", "0", "nan")],
    *[("sample_interval_seconds", text) for text in ("5s", "0", "nan", "inf", "1e400")],
    *[("exclude", text) for text in ("health", "!", "/a,b")],
    *[("route_labels", text) for text in ("plan", "plan=", "plan=a||b", "le=a", "=a")],
    *[
        ("latency_objective", text)
        for text in ("fast", "0", "-1", "nan", "/a", "/a=", "/a=0", "=1")
    ],
]


def test_nothing_given_means_the_defaults():
    """No setting is needed, and an empty variable is one that is not set."""
    assert Settings() == load_settings({}, {})
    empty = dict.fromkeys(VARIABLES.values(), "")
    nothing = dict.fromkeys(VARIABLES)
    assert DEFAULTS == load_settings(empty, nothing)
    assert (
        True,
        None,
        0o700,
        "default",
        {},
        16 << 20,
        5.0,
        (),
        (),
        {},
        None,
        0.5,
        {},
        False,
        None,
        None,
        None,
        False,
    ) == dataclasses.astuple(DEFAULTS)


def test_every_setting_has_a_variable_and_a_meaning():
    """Each is named after its field, or is OpenTelemetry's."""
    for name, variable in VARIABLES.items():
        assert variable in {f"PERFSDK_{name.upper()}", "PERFSDK_DIR", "PERFSDK_DIR_MODE"} | {
            "OTEL_SERVICE_NAME",
            "OTEL_RESOURCE_ATTRIBUTES",
        }
    assert len(VARIABLES) == len(set(VARIABLES.values()))


@pytest.mark.parametrize(("name", "value", "expected"), GOOD_KEYWORDS)
def test_good_keywords_are_taken(name, value, expected):
    """A keyword of the right type and range is the setting; the others keep their defaults."""
    settings = load_settings({}, {name: value})
    assert dataclasses.replace(DEFAULTS, **{name: expected}) == settings
    assert type(expected) is type(getattr(settings, name))


@pytest.mark.parametrize(("name", "text", "expected"), GOOD_TEXTS)
def test_good_variables_are_taken(name, text, expected):
    """The same from the environment."""
    settings = load_settings({VARIABLES[name]: text, "UNRELATED": "x"}, {})
    assert dataclasses.replace(DEFAULTS, **{name: expected}) == settings


def check_message(error, name, shown):
    """One short line: the setting, its value, what to do."""
    message = str(error.value)
    assert message.startswith(f"{name}={shown}")
    assert "\n" not in message
    assert message.isprintable()
    assert ": give " in message
    assert len(message) < 400


@pytest.mark.parametrize(("name", "value"), BAD_KEYWORDS)
def test_bad_keywords_are_named(name, value):
    """A wrong keyword fails at once, never with another exception."""
    with pytest.raises(SettingsError) as error:
        load_settings({}, {name: value})
    check_message(error, name, repr(value) if repr(value).isprintable() else "")


@pytest.mark.parametrize(("name", "text"), BAD_TEXTS)
def test_bad_variables_are_named(name, text):
    """The message has the variable, for that is what has to be changed."""
    with pytest.raises(SettingsError) as error:
        load_settings({VARIABLES[name]: text}, {})
    check_message(error, VARIABLES[name], text[:100] if text.isprintable() else "")


@given(st.sampled_from(sorted(VARIABLES)), st.text(st.characters(exclude_characters="\0")))
def test_any_variable_is_taken_or_named(name, text):
    """No environment makes `instrument` raise anything else, or a message of several lines."""
    message = ""
    try:
        load_settings({VARIABLES[name]: text}, {})
    except SettingsError as error:
        message = str(error)
    assert message.isprintable()
    assert message.startswith(VARIABLES[name] if message else "")


def test_keywords_win_over_the_environment():
    """Also when what the environment says is wrong, or the keyword is the default."""
    environment = {
        "PERFSDK_ENABLED": "0",
        "PERFSDK_DIR": "/from/environment",
        "PERFSDK_SEGMENT_SIZE_BYTES": "nonsense",
    }
    keywords = {"enabled": True, "segment_size_bytes": 2 << 20, "service": None}
    settings = load_settings(environment, keywords)
    expected = (True, "/from/environment", 2 << 20, "default")
    assert expected == (
        settings.enabled,
        settings.directory,
        settings.segment_size_bytes,
        settings.service,
    )


@pytest.mark.parametrize(
    ("environment", "keywords", "expected"),
    [
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a"}, {}, "a"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "b"}, {}, "b"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a"}, {"service": "c"}, "c"),
        ({"OTEL_SERVICE_NAME": "b"}, {"service": "c"}, "c"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name="}, {}, "default"),
        ({}, {"resource_attributes": {"service.name": "d"}}, "d"),
    ],
)
def test_the_service_has_opentelemetrys_precedence(environment, keywords, expected):
    """The keyword, then OTEL_SERVICE_NAME, then the attribute service.name."""
    assert expected == load_settings(environment, keywords).service


def test_a_service_from_the_attributes_is_checked_too():
    """What is no name there is none here."""
    with pytest.raises(SettingsError, match=r"^service\.name=a\\nb: give a name"):
        load_settings({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a%0Ab"}, {})


def test_settings_cannot_be_changed_from_outside():
    """The caller's objects are copied, the result is frozen."""
    attributes, integrations = {"a": "b"}, ["redis"]
    settings = load_settings(
        {}, {"resource_attributes": attributes, "disabled_integrations": integrations}
    )
    attributes["a"] = "changed"
    integrations.append("sqlite3")
    assert ({"a": "b"}, ("redis",)) == (
        settings.resource_attributes,
        settings.disabled_integrations,
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.enabled = False
