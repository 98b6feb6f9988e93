"""The page at `/`, for people: what this program is, what it reads, where its pages are."""

from html import escape

from perfsdk.version import __version__
from perfsdk_exporter.collection import Collection

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>perfsdk-exporter</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 3rem auto; max-width: 44rem; padding: 0 1rem }}
th {{ font-weight: normal; padding-right: 2rem; text-align: left; vertical-align: top }}
td {{ overflow-wrap: anywhere }}
</style>
</head>
<body>
<h1>perfsdk-exporter {version}</h1>
<p>Serves the totals of all worker processes to Prometheus.</p>
{note}<table>
<tr><th scope="row">Directory</th><td><code>{directory}</code></td></tr>
<tr><th scope="row">Live segments</th><td>{live}</td></tr>
<tr><th scope="row">Dead segments</th><td>{dead}</td></tr>
<tr><th scope="row">Unreadable files</th><td>{unreadable}</td></tr>
</table>
<ul>
<li><a href="{telemetry_path}">Metrics</a></li>
{queries}<li><a href="/-/healthy">Health</a></li>
<li><a href="/-/ready">Readiness</a></li>
</ul>
</body>
</html>
"""


def render_landing_page(
    collection: Collection, telemetry_path: str, *, with_queries: bool = False
) -> str:
    """The landing page as HTML; `with_queries`: the table of queries is served, too."""
    explanation = collection.explanation
    return _PAGE.format(
        version=escape(__version__),
        note=f"<p><strong>Nothing to read: {escape(explanation)}</strong></p>\n"
        if explanation
        else "",
        directory=escape(str(collection.directory or "none yet")),
        telemetry_path=escape(telemetry_path),
        queries='<li><a href="/queries">Queries</a></li>\n' if with_queries else "",
        **collection.segments,
    )
