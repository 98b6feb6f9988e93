"""Certificates for tests: an authority, and what it issues, as files in a directory."""

import datetime as dt
import ipaddress
import os
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


class Pair(NamedTuple):
    """The files of a certificate and of its key."""

    cert: Path
    key: Path


class Authority:
    """Issues certificates into its directory; its own is `<name>.crt` there."""

    def __init__(self, directory, name="ca"):
        self.directory = Path(directory)
        self.cert_file = self.directory / f"{name}.crt"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        certificate = self._builder(self._name, self._key.public_key(), ca=True)
        self.cert_file.write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))

    def issue(self, name, *sans, rsa_key=False):
        """A pair `<name>.crt`, `<name>.key` for names and addresses; it replaces an older one."""
        key = rsa.generate_private_key(65537, 2048) if rsa_key else _new_key()
        builder = self._builder(_name(name), key.public_key(), ca=False)
        if sans:
            names = x509.SubjectAlternativeName(list(map(_general_name, sans)))
            builder = builder.add_extension(names, critical=False)
        pair = Pair(self.directory / f"{name}.crt", self.directory / f"{name}.key")
        replace(pair.key, _key_pem(key, serialization.NoEncryption()))
        replace(pair.cert, _pem(builder.sign(self._key, hashes.SHA256())))
        return pair

    def _builder(self, subject, public_key, *, ca):
        now = dt.datetime.now(dt.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )


def encrypted_key(path):
    """A key that only a passphrase opens."""
    encryption = serialization.BestAvailableEncryption(b"passphrase")
    path.write_bytes(_key_pem(_new_key(), encryption))
    return path


def replace(path, content):
    """Write a file as a whole: nobody sees half of it."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(temporary, path)


def _new_key():
    return ec.generate_private_key(ec.SECP256R1())


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key, encryption):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)
