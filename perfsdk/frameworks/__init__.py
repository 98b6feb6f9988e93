"""Inbound: one small file for each web framework, over what all of them share.

The table names for each framework the module whose import shows that an application may be one
of its own, and our file; a framework that builds on another stands before it. Each file has

- `is_application(app)`: whether it is one; imports nothing;
- `patch_routing(patches)`: what is changed once for the process, so that a route can be told;
- `instrument_application(app, server, patches, around)`: measures one application in place.
"""

FRAMEWORKS = {
    "fastapi.applications": "perfsdk.frameworks.fastapi",
    "starlette.applications": "perfsdk.frameworks.starlette",
    "litestar.app": "perfsdk.frameworks.litestar",
    "quart.app": "perfsdk.frameworks.quart",
    "flask.app": "perfsdk.frameworks.flask",
    "django.core.handlers.base": "perfsdk.frameworks.django",
    "aiohttp.web_app": "perfsdk.frameworks.aiohttp_web",
}
