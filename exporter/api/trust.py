"""Which certificates TLS connections trust."""

import threading
from pathlib import Path

from urllib3.util.ssl_ import create_urllib3_context


class Trust:
    """The machine's own issuers and those of files, all in one context.

    They are read when a connection first needs them, which takes longer than the rest of a start. The
    machine's are found as OpenSSL finds them: its own store, or SSL_CERT_FILE and SSL_CERT_DIR.
    """

    def __init__(self) -> None:
        self.context = create_urllib3_context()
        self._files: set[str] = set()
        self._lock = threading.Lock()

    def add(self, path: str) -> None:
        """Trust the issuers in a file, or in a directory, beside the machine's own. Raises OSError."""
        with self._lock:  # threads that begin together would all read them
            if not self._files:
                self.context.load_default_certs()
            if path not in self._files:
                if Path(path).is_dir():
                    self.context.load_verify_locations(capath=path)
                else:
                    self.context.load_verify_locations(cafile=path)
                self._files.add(path)
