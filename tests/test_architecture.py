"""What the architecture promises and import-linter cannot see: what is loaded, named, shipped."""

import ast
import json
import re
import subprocess
import sys
import tokenize
import zipfile
from pathlib import Path

import pytest

import perfsdk
from perfsdk.catalog import LABEL_BOUNDS, METRICS

ROOT = Path(__file__).parent.parent
SHIPPED = sorted([*ROOT.glob("perfsdk/**/*.py"), *ROOT.glob("exporter/**/*.py")])
TESTS = sorted(ROOT.glob("tests/**/*.py"))
BESIDE = [
    path for folder in ("deploy", "grafana", "helm") for path in ROOT.glob(f"{folder}/**/*.py")
]
SOURCES = [*SHIPPED, *sorted(BESIDE), *TESTS]

SHARED = {"perfsdk", "perfsdk.store", "perfsdk.version"}

MOST_LINES = 500
ASKED_WHY_FROM_LINES = 250
LONG_FOR_A_REASON = {
    "perfsdk/catalog.py": "every metric once, in one place",
    "perfsdk/frameworks/exchange.py": "the hot path: what a request costs is read in one place",
    "perfsdk/frameworks/http_server.py": "the hot path: calls between files would cost",
    "perfsdk/instrumentation.py": "the composition root: all parts meet here and nowhere else",
    "perfsdk/recorder.py": "the hot path: calls between files would cost what it saves",
}

NAMELESS_NAMES = re.compile(r"^(utils?|base|helpers?|common|misc)$|manager|handler")
SUPPRESSION = re.compile(r"noqa|type: *ignore")
SUPPRESSION_WITH_REASON = re.compile(
    r"# noqa: [A-Z]+\d+(, ?[A-Z]+\d+)* - \S|# type: ignore\[[a-z-]+(, ?[a-z-]+)*\] +# \S"
)


def loaded_by(statement):
    """The modules that a statement loads in a new interpreter, less what is there at its start."""
    script = f"""
import json, sys
before = set(sys.modules)
{statement}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    output = subprocess.run(
        [sys.executable, "-I", "-c", script], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return set(json.loads(output))


def ours(modules):
    """Those of the two packages of this distribution."""
    return {name for name in modules if name.partition(".")[0] in {"perfsdk", "perfsdk_exporter"}}


def third_party(modules):
    """The distributions' top-level names among modules that are neither ours nor Python's."""
    return {name.partition(".")[0] for name in modules - ours(modules)} - sys.stdlib_module_names


def relative(path):
    """A path as a person names it."""
    return path.relative_to(ROOT).as_posix()


def test_importing_perfsdk_loads_next_to_nothing():
    """`import perfsdk` costs an application nothing until it instruments something."""
    loaded = loaded_by("import perfsdk")
    assert {"perfsdk", "perfsdk.version"} == ours(loaded)
    assert set() == third_party(loaded)


def test_the_composition_root_loads_no_library_of_others():
    """`instrument` is imported without any library that it could measure or report to."""
    assert third_party(loaded_by("from perfsdk import instrument")) <= {"wrapt"}


def test_what_reads_statements_is_loaded_with_a_library_that_has_some():
    """An application without a database does not wait for patterns to be compiled."""
    plain = "from perfsdk.instrumentation import Instrumentation"
    assert "perfsdk.wrapping.dbapi" not in loaded_by(plain)
    assert "perfsdk.wrapping.fingerprint" in loaded_by("import perfsdk.integrations.sqlite3")


def test_the_exporter_loads_the_reading_half_of_the_store_alone():
    """The sidecar runs without what only applications need, wrapt above all."""
    loaded = loaded_by("import perfsdk_exporter.__main__")
    sdk = {name for name in ours(loaded) if not name.startswith("perfsdk_exporter")}
    assert not {name for name in sdk if not name.startswith("perfsdk.store.")} - SHARED
    assert not sdk & {"perfsdk.store.segment", "perfsdk.store.writer"}
    assert set() == third_party(loaded) & {"fastapi", "sqlalchemy", "starlette", "wrapt"}


def test_importing_a_module_starts_nothing(perfsdk_dir):
    """No module but the commands starts, registers or writes anything when it is imported."""
    files = [relative(path).removeprefix("exporter/").removesuffix(".py") for path in SHIPPED]
    modules = [name.removesuffix("/__init__").replace("/", ".") for name in files]
    libraries = [name for name in modules if not name.startswith("perfsdk.cli")]
    loaded_by(f"""
import gc, importlib, signal, threading
def state():
    signals = [signal.getsignal(number) for number in signal.valid_signals()]
    return sys.meta_path[:], gc.callbacks[:], threading.enumerate(), signals, sys.excepthook
at_first = state()
for name in {libraries}:
    importlib.import_module(name)
assert at_first == state(), (at_first, state())
""")
    assert not list(perfsdk_dir.iterdir())


def test_the_public_surface_is_what_it_was():
    """A name becomes public, or goes away, only on purpose."""
    public = ["SettingsError", "__version__", "allow", "cache", "exclude", "instrument", "label"]
    public.append("uninstrument")
    assert public == perfsdk.__all__
    assert public == dir(perfsdk)
    assert None not in [getattr(perfsdk, name) for name in public]
    with pytest.raises(AttributeError, match="'perfsdk' has no attribute 'nonesuch'"):
        _ = perfsdk.nonesuch


def test_only_the_entry_points_read_the_environment():
    """Settings are passed as arguments: one module of the SDK and the commands look outside."""
    readers = {
        relative(path)
        for path in SHIPPED
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"})
        or (isinstance(node, ast.alias) and node.name in {"environ", "getenv"})
    }
    commands = {name for name in readers if "/cli/" in name or name.endswith("/__main__.py")}
    assert {"perfsdk/instrumentation.py"} == readers - commands


def test_file_names_say_what_is_inside():
    """No file has a name under which anything could be put."""
    assert not [relative(path) for path in SOURCES if NAMELESS_NAMES.search(path.stem)]


def test_shipped_modules_are_short():
    """A module of more than 250 lines has its reason in the list above, none has more than 400."""
    lines = {relative(path): path.read_text().count("\n") for path in SHIPPED}
    long = {name for name, count in lines.items() if count > ASKED_WHY_FROM_LINES}
    assert set(LONG_FOR_A_REASON) == long
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}


def test_every_module_says_what_it_promises():
    """Each shipped module with code in it opens with a docstring."""
    trees = {relative(path): ast.parse(path.read_text()) for path in SHIPPED}
    assert not [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)]


def test_every_test_says_what_it_proves():
    """Each test function has a docstring."""
    assert not [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in TESTS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]


def test_every_suppression_has_a_code_and_a_reason():
    """Nobody has to guess why a rule of ruff or mypy was silenced."""
    found = []
    for path in SOURCES:
        with path.open("rb") as source:
            found += [
                f"{relative(path)}:{token.start[0]} {token.string}"
                for token in tokenize.tokenize(source.readline)
                if token.type == tokenize.COMMENT
                if SUPPRESSION.search(token.string)
                if not SUPPRESSION_WITH_REASON.search(token.string)
            ]
    assert not found


def test_the_wheel_has_two_packages_and_nothing_else(tmp_path):
    """An installation adds `perfsdk` and `perfsdk_exporter`, typed, and no other name."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*build, tmp_path], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    files = set(zipfile.ZipFile(wheel).namelist())
    dist_info = f"perfsdk-{perfsdk.__version__}.dist-info"
    assert {"perfsdk", "perfsdk_exporter", dist_info} == {name.split("/")[0] for name in files}
    shipped = {relative(path).removeprefix("exporter/") for path in SHIPPED}
    typed = {"perfsdk/py.typed", "perfsdk_exporter/py.typed"}
    assert shipped | typed == {name for name in files if not name.startswith(dist_info)}


def test_metric_names_are_unique():
    """The catalog has each name once."""
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_wants_it(metric):
    """Name, unit, suffix, labels, bounds and help follow Prometheus's rules for the kind."""
    assert re.fullmatch("[a-z][a-z0-9_]*[a-z0-9]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not metric.name.endswith(("_bucket", "_count", "_created", "_sum"))
    assert metric.name.removesuffix("_total").endswith(metric.unit)
    assert metric.unit in {"", "bytes", "seconds"}
    assert all(re.fullmatch("[a-z][a-z0-9_]*", label) for label in metric.labels)
    assert not {"le", "quantile", "job", "instance"} & set(metric.labels)
    assert len(set(metric.labels)) == len(metric.labels)
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert sorted(set(metric.bounds)) == list(metric.bounds)
    assert metric.merge == "sum" or metric.kind == "gauge"
    assert re.fullmatch(r"[A-Z][^\n]*\.", metric.help)


def test_label_bounds_are_of_labels_that_exist():
    """No bound is lost because a label was renamed."""
    assert set(LABEL_BOUNDS) <= {label for metric in METRICS for label in metric.labels}
