"""Keys, certificates and signatures: what a request did, signed, and checked without the registry.

:meth:`disinherit.Registry.certify` makes certificates, :func:`verify_certificate` reads them::

    from disinherit.certificates import new_key, verify_certificate

    new_key("proof.pem")                                     # and proof.pem.pub
    registry.certify("certificate.json", "proof.pem", data=data)
    verify_certificate("certificate.json", "proof.pem.pub").certificate.models
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, List, Optional, Sequence, Union

from . import _disinherit
from ._arguments import PathLike
from .results import Certificate, CertificateCheck, CertifiedModel, LogPosition

if TYPE_CHECKING:
    from ._registry import Registry

__all__ = ["Certificate", "CertificateCheck", "CertifiedModel", "LogPosition", "new_key", "sign", "verify_certificate"]


def new_key(path: PathLike, *, kind: str = "ed25519") -> str:
    """Make a key: ``path`` to sign with, which only its owner can read, and ``path.pub`` to check with.

    ``kind`` is ``ed25519``, or ``p256`` for keys that sign exported models too. Returns the key's id.
    """
    secret, public, name = _disinherit.new_key(kind)
    path = os.fspath(path)
    # Not over a public key of another one.
    with open(f"{path}.pub", "x", encoding="ascii") as file:
        file.write(public)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secret)
    except OSError:
        os.remove(f"{path}.pub")
        raise
    return name


def sign(path: PathLike, key: Union[PathLike, bytes]) -> str:
    """Sign the files of a model that are there already, as ``model_signing verify key`` checks them.

    ``path`` is a folder or a file, ``key`` a key over P-256 (a path, or its contents as bytes). A signature covers every
    file of a folder, so this comes last; one from before is replaced. Returns where it is: ``model.sig`` in the folder,
    or beside the file.
    """
    return _disinherit.sign_model(path, contents(key))


def contents(source: Union[PathLike, bytes]) -> bytes:
    """The bytes of a file, or those that are given."""
    if isinstance(source, bytes):
        return source
    with open(source, "rb") as file:
        return file.read()


class Files:
    """The files that a certificate is written to: itself and, in the words of in-toto, two beside it."""

    def __init__(self, path: PathLike, in_toto: bool, force: bool) -> None:
        file = os.fspath(path)
        stem = os.path.splitext(file)[0]
        beside = [f"{stem}.test-result.json", f"{stem}.summary.json"] if in_toto else []
        self._names: List[str] = [file, *beside]
        for name in self._names:
            if os.path.exists(name) and not force:
                raise FileExistsError(f"{name} is there already; `force=True` replaces it")

    def write(self, texts: Sequence[str]) -> None:
        """Write one text to each."""
        for name, text in zip(self._names, texts):
            with open(name, "w", encoding="utf-8") as written:
                written.write(text)


def verify_certificate(
    certificate: Union[PathLike, bytes],
    public_key: Union[PathLike, bytes],
    *,
    registry: Optional[Registry] = None,
) -> CertificateCheck:
    """Check a certificate with the public key of its issuer, and read it.

    Both are paths, or contents as bytes. :class:`disinherit.InvalidCertificate` is raised where the key did not sign
    it, it was altered, or it is no certificate. With ``registry`` it is also compared with that: the chain of its log,
    the entry that is certified, and the digests of the new versions; ``problems`` says what differs.
    """
    inner = None if registry is None else registry._inner
    return _disinherit.read_certificate(contents(certificate), contents(public_key), inner)
