"""Reads `tls_server_config`: all that it asks for is honoured, or refused with what to do."""

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from perfsdk_exporter.web.sections import Section

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_BROKEN_VERSIONS = ("TLS10", "TLS11")

_CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}

_CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
# Always on where TLS 1.3 is, as in Go.
_CIPHERS_OF_TLS13 = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)

_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    # Whatever the client answers, it is let in: so it need not be asked.
    "RequestClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = ("RequireAnyClientCert", "RequireClientCert")


class Pem(NamedTuple):
    """Certificates or a key: in a file, or in the configuration itself."""

    key: str
    path: Path | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """What `tls_server_config` asks for; `ciphers` are OpenSSL's names, those before TLS 1.3."""

    cert: Pem
    key: Pem
    client_ca: Pem | None
    client_auth: ssl.VerifyMode
    allowed_sans: frozenset[str]
    minimum: ssl.TLSVersion
    maximum: ssl.TLSVersion
    ciphers: tuple[str, ...]
    curve: str
    prefer_server_ciphers: bool

    @property
    def files(self) -> list[Path]:
        """The files whose change is a change of these settings."""
        return [pem.path for pem in (self.cert, self.key, self.client_ca) if pem and pem.path]

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client that came through the handshake has one of the allowed names.

        `certificate` is what `SSLSocket.getpeercert` returns: empty when the client gave none,
        which the handshake allowed then.
        """
        if not self.allowed_sans or not certificate:
            return True
        names = certificate.get("subjectAltName", ())
        return any(_canonical(name) in self.allowed_sans for _, name in names)


def read_tls(section: Section, directory: Path) -> TlsSettings | None:
    """The settings; None for an empty section, which is plain HTTP.

    Raises:
        WebConfigError: something is missing, unknown, contradictory, or cannot be honoured here.
    """
    if not any(True for _ in section):
        return None
    cert, key, client_ca = (_pem(section, name, directory) for name in ("cert", "key", "client_ca"))
    client_auth = _client_auth(section, client_ca)
    allowed_sans = frozenset(map(_canonical, section.texts("client_allowed_sans")))
    if allowed_sans and client_auth is ssl.CERT_NONE:
        message = "needs client_auth_type: RequireAndVerifyClientCert"
        raise section.error("client_allowed_sans", message)
    minimum, maximum, ciphers = _versions_and_ciphers(section)
    curve = _curve(section)
    prefer_server_ciphers = section.flag("prefer_server_cipher_suites", default=True)
    section.end()
    if cert is None:
        raise section.error("cert_file", "is missing; give the file of the certificate")
    if key is None:
        raise section.error("key_file", "is missing; give the file of the certificate's key")
    return TlsSettings(
        cert=cert,
        key=key,
        client_ca=client_ca,
        client_auth=client_auth,
        allowed_sans=allowed_sans,
        minimum=minimum,
        maximum=maximum,
        ciphers=ciphers,
        curve=curve,
        prefer_server_ciphers=prefer_server_ciphers,
    )


def _pem(section: Section, name: str, directory: Path) -> Pem | None:
    key = f"{name}_file"
    text, file = section.text(name), section.text(key)
    if text and file:
        raise section.error(name, f"{key} is given too; keep one")
    if file:
        return Pem(f"{section.name}.{key}", directory / file, "")
    return Pem(f"{section.name}.{name}", None, text) if text else None


def _client_auth(section: Section, client_ca: Pem | None) -> ssl.VerifyMode:
    key = "client_auth_type"
    known = _CLIENT_AUTH | dict.fromkeys(_UNVERIFIED)
    mode = section.choice(key, ssl.CERT_NONE, known)
    if mode is None:
        raise section.error(
            key,
            "would let in any certificate, whoever made it; give RequireAndVerifyClientCert and a"
            " client_ca_file",
        )
    if client_ca and mode is ssl.CERT_NONE:
        raise section.error(
            key,
            "asks for no certificate, but there is a client CA; give RequireAndVerifyClientCert",
        )
    if mode is not ssl.CERT_NONE and not client_ca:
        raise section.error("client_ca_file", "is missing; give the CA of the clients")
    return mode


def _versions_and_ciphers(
    section: Section,
) -> tuple[ssl.TLSVersion, ssl.TLSVersion, tuple[str, ...]]:
    minimum = _version(section, "min_version", ssl.TLSVersion.TLSv1_2)
    maximum = _version(section, "max_version", ssl.TLSVersion.TLSv1_3)
    key = "cipher_suites"
    names = section.texts(key)
    for name in names:
        if name not in _CIPHERS and name not in _CIPHERS_OF_TLS13:
            known = ", ".join([*_CIPHERS, *_CIPHERS_OF_TLS13])
            raise section.error(key, f"{name!r} is unknown; give some of {known}")
    ciphers = tuple(_CIPHERS[name] for name in names if name in _CIPHERS)
    if names and not ciphers:
        # None is left for TLS 1.2.
        minimum = ssl.TLSVersion.TLSv1_3
    if minimum > maximum:
        raise section.error("max_version", "is below the lowest version; raise it")
    return minimum, maximum, ciphers


def _version(section: Section, key: str, default: ssl.TLSVersion) -> ssl.TLSVersion:
    version = section.choice(key, default, _VERSIONS | dict.fromkeys(_BROKEN_VERSIONS))
    if version is None:
        raise section.error(key, "TLS 1.0 and 1.1 are broken; give TLS12 or TLS13")
    return version


def _curve(section: Section) -> str:
    key = "curve_preferences"
    names = section.texts(key)
    for name in names:
        if name not in _CURVES:
            raise section.error(key, f"{name!r} is unknown; give one of {', '.join(_CURVES)}")
    if len(names) > 1:
        raise section.error(key, "Python can set one curve; give one, or none for OpenSSL's own")
    return _CURVES[names[0]] if names else ""


def _canonical(name: str) -> str:
    """An IP address in its shortest form, anything else as it is."""
    try:
        return str(ipaddress.ip_address(name.strip()))
    except ValueError:
        return name
