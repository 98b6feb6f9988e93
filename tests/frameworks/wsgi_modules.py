"""Our modules for WSGI, as the contract wants to know them."""

WSGI_MODULES = (
    "perfsdk.frameworks.wsgi",
    "perfsdk.frameworks.wsgi_body",
    "perfsdk.frameworks.wsgi_exchange",
    "perfsdk.frameworks.wsgi_input",
)

WSGI_WAY_IN = (
    "Middleware.__call__",
    "Passing.__call__",
    "Stopped.__call__",
    "Wrapper.__getattr__",
    "WsgiExchange.start_response",
    "WsgiExchange.write",
    "Body.__init__",
    "Body.__iter__",
    "Body.__next__",
    "Body.close",
    "SizedBody.__len__",
    "ListBody.__init__",
    "ListBody.__iter__",
    "ListBody.close",
    "wsgi_body._close_file",
    "Input.__init__",
    "Input.read",
    "Input.readline",
    "Input.readlines",
    "Input.__iter__",
    "Input.__getattr__",
    "Input._read",
)
"""Those that servers and applications call by themselves."""
