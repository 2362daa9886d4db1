"""TLS: a context made from certificate files, and one that follows them when they are renewed."""

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import ConfigError, ConfigProblem
from exporter.files import require_regular

_LOG = logging.getLogger(__name__)

CLIENT_AUTH_TYPES: Mapping[str, str] = {
    "NoClientCert": "",
    "VerifyClientCertIfGiven": "",
    "RequireAndVerifyClientCert": "",
    "RequestClientCert": "would verify nothing; use VerifyClientCertIfGiven",
    "RequireAnyClientCert": "would verify nothing; use RequireAndVerifyClientCert",
}
"""The toolkit's words, with what speaks against those that cannot be had here."""

VERSIONS: Mapping[str, str] = {
    "TLS12": "",
    "TLS13": "",
    "TLS10": "is no longer safe; the lowest is TLS12",
    "TLS11": "is no longer safe; the lowest is TLS12",
}

_VERIFY_MODES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
"""The least first."""
_PUT_BACK = (
    "Put it back, or name another one in --web.config.file and reload. Without it, the exporter cannot be"
    " started again."
)
_TOO_WEAK = ("_KEY_TOO_SMALL", "_MD_TOO_WEAK")
"""How OpenSSL's reasons end for what it does not accept any more."""
_PROTOCOLS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Where the certificates are and whose are accepted."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth_type: str = "NoClientCert"
    min_version: str = "TLS12"
    max_version: str = "TLS13"

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that a context is made of."""
        return tuple(f for f in (self.cert_file, self.key_file, self.client_ca_file) if f)


def asks_less(old: TlsConfig, new: TlsConfig) -> bool:
    """Whether the new settings ask clients for less of a certificate."""
    strength = list(_VERIFY_MODES)
    return strength.index(new.client_auth_type) < strength.index(old.client_auth_type)


def build_context(config: TlsConfig) -> ssl.SSLContext:
    """A context of the files as they are now. Raises ``ConfigError``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _PROTOCOLS[config.min_version]
    context.maximum_version = _PROTOCOLS[config.max_version]
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An empty password: an encrypted key is to fail, not to ask at a terminal.
        context.load_cert_chain(config.cert_file, config.key_file, password="")
    except (OSError, ValueError) as error:
        message = "this and key_file do not fit together, or one of them is not PEM or encrypted"
        if isinstance(error, ssl.SSLError) and (error.reason or "").endswith(_TOO_WEAK):
            message = "has a key or a signature that is too weak; make a new certificate"
        elif isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
            message = f"this or key_file cannot be read: {error.strerror}"
        raise ConfigError([ConfigProblem("tls_server_config.cert_file", message)]) from error
    if config.client_ca_file is not None:
        try:
            context.load_verify_locations(cafile=config.client_ca_file)
        except (OSError, ValueError) as error:
            problem = ConfigProblem("tls_server_config.client_ca_file", "holds no PEM certificate")
            raise ConfigError([problem]) from error
    context.verify_mode = _VERIFY_MODES[config.client_auth_type]
    return context


class RenewingContext(ssl.SSLContext):
    """Gives every new connection a context of the files as they are then.

    Files that are gone or cannot be used, such as a new certificate whose key has not arrived yet,
    leave the last good context in use; that is logged once. The files are looked at on each
    handshake: some microseconds.
    """

    _config: TlsConfig
    _current: ssl.SSLContext
    _seen: tuple[tuple[int, int, int], ...]
    """How the files looked the last time; nothing: one of them was gone, or they are others now."""

    def __new__(cls, config: TlsConfig) -> "RenewingContext":
        context: RenewingContext = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context._config = config
        context._seen = _look(config)
        context._current = build_context(config)
        return context

    def follow(self, config: TlsConfig) -> None:
        """Give contexts of these files from now on."""
        if config != self._config:
            self._config, self._seen = config, ()

    def wrap_bio(self, *arguments: Any, **keywords: Any) -> ssl.SSLObject:
        """As ``ssl.SSLContext``; asyncio calls it for each connection."""
        return self._latest().wrap_bio(*arguments, **keywords)

    def _latest(self) -> ssl.SSLContext:
        try:
            seen = _look(self._config)
        except OSError as error:
            if self._seen:
                self._seen = ()
                _LOG.error(
                    "a TLS file is gone, the old one stays in use until a restart",
                    extra={"file": error.filename, "reason": error.strerror, "advice": _PUT_BACK},
                )
            return self._current
        if seen != self._seen:
            self._seen = seen
            try:
                self._current = build_context(self._config)
            except ConfigError as error:
                _LOG.warning(
                    "the renewed TLS files cannot be used, the old ones stay in use: %s", error
                )
            else:
                _LOG.info("the renewed TLS files are in use")
        return self._current


def _look(config: TlsConfig) -> tuple[tuple[int, int, int], ...]:
    """How the files look now. Raises OSError, which names the file."""
    states = []
    for file in config.files:
        try:
            states.append(require_regular(file))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(file)) from error
    return tuple((state.st_mtime_ns, state.st_size, state.st_ino) for state in states)
