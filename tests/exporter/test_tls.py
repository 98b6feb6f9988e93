"""TLS and authentication over real connections: who gets a page, while files change under it."""

import asyncio
import base64
import http.client
import ssl
import subprocess
import threading
from contextlib import asynccontextmanager

import bcrypt
import pytest

from perfsdk_exporter.web import access
from perfsdk_exporter.web import protection as protection_module
from perfsdk_exporter.web.authentication import Passwords
from perfsdk_exporter.web.protection import Protection
from tests.exporter.certificates import Authority, replace
from tests.exporter.served import DEADLINE_SECONDS, ask, refusals, served, until
from tests.servers import require

TLS = "cert_file: server.crt, key_file: server.key"
CLIENTS = f"{TLS}, client_ca_file: clients.crt, client_auth_type: "
USERS = f"basic_auth_users: {{anna: {bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}}}\n"
REFUSED = (ssl.SSLError, ConnectionError)


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """The servers' authority, which has issued `server.crt`; changes are seen at once."""
    monkeypatch.setattr(protection_module, "REREAD_SECONDS", 0.02)
    authority = Authority(tmp_path, "servers")
    authority.issue("server", "127.0.0.1")
    return authority


@pytest.fixture
def clients(tmp_path):
    """The clients' authority."""
    return Authority(tmp_path, "clients")


@pytest.fixture
def protected(collector, tmp_path):
    """Serves with a configuration: `async with protected(text) as port`."""

    @asynccontextmanager
    async def serve(text):
        path = tmp_path / "web.yml"
        replace(path, text)
        async with served(collector, protection=Protection(path)) as port:
            yield port

    return serve


def trust(authority, pair=None, **attributes):
    """A client that trusts an authority and shows a certificate."""
    context = ssl.create_default_context(cafile=authority.cert_file)
    if pair:
        context.load_cert_chain(*pair)
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


def basic(user, password):
    """An Authorization header."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


async def certificate(port, authority):
    """The serial number of the certificate that the server shows now."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust(authority))
    serial = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return serial


async def test_a_page_over_tls(protected, authority):
    """A client that knows the authority gets the page, by TLS 1.3 and 1.2; HTTP gets nothing."""
    async with protected(f"tls_server_config: {{{TLS}}}") as port:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = trust(authority, maximum_version=version)
            status, _, page = await ask(port, "/metrics", ssl=client)
            assert (status, b"perfsdk_exporter_build_info" in page) == (200, True)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            await ask(port)
        assert await refusals(port, ssl=client) == {"tls_handshake": 1.0}


async def test_an_older_version(protected, authority):
    """Below the minimum version there is no handshake."""
    async with protected(f"tls_server_config: {{{TLS}, min_version: TLS13}}") as port:
        with pytest.raises(REFUSED):
            await ask(port, ssl=trust(authority, maximum_version=ssl.TLSVersion.TLSv1_2))
        status, _, _ = await ask(port, ssl=trust(authority))
        assert status == 200


async def test_http2_falls_back(protected, authority):
    """A client that would like HTTP/2 is told that it is HTTP/1.1."""
    client = trust(authority)
    client.set_alpn_protocols(["h2", "http/1.1"])
    async with protected(f"tls_server_config: {{{TLS}}}") as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.close()


async def test_a_client_certificate_is_required(protected, authority, clients):
    """Only one that the clients' authority made gets a page."""
    right, wrong = clients.issue("anna", "anna"), authority.issue("bert", "anna")
    async with protected(f"tls_server_config: {{{CLIENTS} RequireAndVerifyClientCert}}") as port:
        status, _, _ = await ask(port, ssl=trust(authority, right))
        assert status == 200
        for pair in (None, wrong):
            with pytest.raises(REFUSED):
                await ask(port, ssl=trust(authority, pair))


async def test_a_client_certificate_may_be_given(protected, authority, clients):
    """None is fine then, a wrong one is not."""
    right, wrong = clients.issue("anna"), authority.issue("bert")
    async with protected(f"tls_server_config: {{{CLIENTS} VerifyClientCertIfGiven}}") as port:
        for pair in (None, right):
            status, _, _ = await ask(port, ssl=trust(authority, pair))
            assert status == 200
        with pytest.raises(REFUSED):
            await ask(port, ssl=trust(authority, wrong))


@pytest.mark.parametrize(
    ("sans", "allowed"),
    [
        (("prometheus",), True),
        (("other", "a@example.org"), True),
        (("spiffe://cluster/prometheus",), True),
        (("10.0.0.1",), True),
        (("2001:db8:0:0::1",), True),
        (("other", "10.0.0.2"), False),
        (("Prometheus.example",), False),
        ((), False),
    ],
)
async def test_allowed_names(sans, allowed, protected, authority, clients):
    """One name of the certificate must be one that is allowed: host, address, mail or URI."""
    names = '[prometheus, a@example.org, "spiffe://cluster/prometheus", 10.0.0.1, "2001:DB8::1"]'
    tls = f"{{{CLIENTS} RequireAndVerifyClientCert, client_allowed_sans: {names}}}"
    client = trust(authority, clients.issue("anna", *sans))
    async with protected(f"tls_server_config: {tls}") as port:
        if allowed:
            status, _, _ = await ask(port, ssl=client)
            assert status == 200
        else:
            with pytest.raises((*REFUSED, http.client.HTTPException)):
                await ask(port, ssl=client)


async def test_rotation(protected, authority):
    """New connections see the new certificate; a running one goes on."""
    async with protected(f"tls_server_config: {{{TLS}}}") as port:
        before = await certificate(port, authority)
        running = http.client.HTTPSConnection("127.0.0.1", port, context=trust(authority))
        await asyncio.to_thread(running.request, "GET", "/-/healthy")
        response = await asyncio.to_thread(running.getresponse)
        response.read()
        authority.issue("server", "127.0.0.1")

        async def rotated():
            return await certificate(port, authority) != before

        await until(rotated)
        sock = running.sock
        await asyncio.to_thread(running.request, "GET", "/-/healthy")
        response = await asyncio.to_thread(running.getresponse)
        assert (response.status, running.sock) == (200, sock)
        running.close()


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready", "/nonesuch"])
async def test_users(path, protected, authority):
    """Every path is for users alone; the others are told what to send, with a line."""
    async with protected(f"{USERS}http_server_config: {{headers: {{X-Frame-Options: deny}}}}") as p:
        right = await ask(p, path, Authorization=basic("anna", "secret"))
        assert right[0] == (404 if path == "/nonesuch" else 200)
        for credentials in (None, basic("anna", "wrong"), basic("nobody", "secret")):
            headers = {"Authorization": credentials} if credentials else {}
            status, headers, body = await ask(p, path, **headers)
            assert (status, body) == (401, b"Give the name and the password of a user.\n")
            expected = 'Basic realm="perfsdk-exporter", charset="UTF-8"'
            assert expected == headers["WWW-Authenticate"]
            assert headers["X-Frame-Options"] == "deny"
        found = await refusals(p, Authorization=basic("anna", "secret"))
        assert found == {"unauthorized": 3.0}


async def test_a_removed_user(protected, authority, tmp_path):
    """The next request of a user who is no more in the file is refused."""
    async with protected(USERS) as port:
        headers = {"Authorization": basic("anna", "secret")}
        assert (await ask(port, **headers))[0] == 200
        replace(tmp_path / "web.yml", USERS.replace("anna", "bert"))

        async def refused():
            return (await ask(port, **headers))[0] == 401

        await until(refused)


async def test_passwords_that_wait(protected, monkeypatch):
    """They are bounded, the loop stays free, and who was let in before still is."""
    async with protected(USERS) as port:
        right = {"Authorization": basic("anna", "secret")}
        assert (await ask(port, **right))[0] == 200
        monkeypatch.setattr(access, "_MAX_WAITING", 0)
        checking, may_check = threading.Event(), threading.Event()
        check = Passwords.check

        def wait(*args):
            checking.set()
            assert may_check.wait(DEADLINE_SECONDS)
            return check(*args)

        monkeypatch.setattr(Passwords, "check", wait)
        first = asyncio.create_task(ask(port, Authorization=basic("anna", "1")))
        await asyncio.to_thread(checking.wait)
        status, _, body = await ask(port, Authorization=basic("anna", "2"))
        assert (503, b"Too many passwords to check; try again later.\n") == (status, body)
        assert (await ask(port, **right))[0] == 200
        may_check.set()
        assert (await first)[0] == 401


async def test_the_rate_limit(protected):
    """Above it the answer is 429 with a line."""
    async with protected("rate_limit: {interval: 1h, burst: 2}") as port:
        answers = [await ask(port) for _ in range(3)]
        assert [200, 200, 429] == [status for status, _, _ in answers]
        assert answers[-1][2] == b"Too many requests; try again later.\n"


async def test_curl(protected, authority, clients):
    """A client that is not ours: certificate and password by curl."""
    curl = require("curl")
    pair = clients.issue("anna")
    text = f"{USERS}tls_server_config: {{{CLIENTS} RequireAndVerifyClientCert}}"
    async with protected(text) as port:
        command = [curl, "-sS", "--fail", "--cacert", authority.cert_file, "-u", "anna:secret"]
        command += ["--cert", pair.cert, "--key", pair.key, f"https://127.0.0.1:{port}/metrics"]
        page = await asyncio.to_thread(subprocess.check_output, command)
        assert b"perfsdk_exporter_web_config_last_reload_successful 1.0" in page
