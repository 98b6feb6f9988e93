"""Makes the TLS context of a server, and says in one line which file is wrong and why."""

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from perfsdk_exporter.web.sections import WebConfigError
from perfsdk_exporter.web.tls_settings import Pem, TlsSettings

_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_KEY = "PRIVATE KEY-----"
_ENCRYPTED = ("ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED")

# OpenSSL keeps a slot for each kind of key, so one of another kind finds no certificate in its own.
_MISMATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


def make_context(settings: TlsSettings) -> ssl.SSLContext:
    """The context for new connections, from what the files hold now.

    Raises:
        WebConfigError: a file cannot be read or used, or OpenSSL refuses a setting.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = settings.minimum
    context.maximum_version = settings.maximum
    context.set_alpn_protocols(["http/1.1"])
    if not settings.prefer_server_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _set_algorithms(context, settings)
    _load_own(context, settings.cert, settings.key)
    if settings.client_ca is not None:
        context.verify_mode = settings.client_auth
        _check(settings.client_ca.key, authorities := _text(settings.client_ca), _CERTIFICATE)
        with _refusing(settings.client_ca.key):
            context.load_verify_locations(cadata=authorities)
    return context


def _set_algorithms(context: ssl.SSLContext, settings: TlsSettings) -> None:
    key = "cipher_suites"
    try:
        if settings.ciphers:
            context.set_ciphers(":".join(settings.ciphers))
        key = "curve_preferences"
        if settings.curve:
            context.set_ecdh_curve(settings.curve)
    except (ssl.SSLError, ValueError) as error:
        raise WebConfigError(
            f"tls_server_config.{key}: this machine's OpenSSL has none of them; give others"
        ) from error


def _load_own(context: ssl.SSLContext, cert: Pem, key: Pem) -> None:
    _check(cert.key, chain := _text(cert), _CERTIFICATE)
    _check(key.key, secret := _text(key), _KEY)
    if any(mark in secret for mark in _ENCRYPTED):
        raise WebConfigError(f"{key.key}: is encrypted; give a key without a passphrase")
    with ExitStack() as files, _refusing(f"{cert.key} and {key.key}"):
        paths = [files.enter_context(_in_memory(text)) for text in (chain, secret)]
        context.load_cert_chain(*paths)


def _text(pem: Pem) -> str:
    if pem.path is None:
        return pem.text
    try:
        return pem.path.read_text("ascii", "replace")
    except OSError as error:
        raise WebConfigError(
            f"{pem.key}: {pem.path}: {error.strerror}; give a file we may read"
        ) from error


def _check(key: str, text: str, mark: str) -> None:
    if mark not in text:
        what = "certificate" if mark == _CERTIFICATE else "private key"
        raise WebConfigError(f"{key}: holds no {what} in PEM form; give one")


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """The path of an unnamed file: what was checked is what is loaded, and no disk sees a key."""
    descriptor = os.memfd_create("pem")
    try:
        os.write(descriptor, text.encode("ascii", "replace"))
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def _refusing(key: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        why = error.reason or str(error)
        if error.reason in _MISMATCH:
            why = "the key is not that of the certificate"
        raise WebConfigError(f"{key}: {why}; give what belongs together") from error
    except (OSError, ValueError) as error:
        raise WebConfigError(f"{key}: refused by this machine's OpenSSL: {error}") from error
