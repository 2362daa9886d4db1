"""Whether the exporter in this container is healthy, for images that have no curl.

Asks the URL in the first argument or in ``EHPC_HEALTH_ADDRESS``, or else
``http://127.0.0.1:10046/-/healthy``, which is also the path where only an address is given, as ``http``
is the scheme. Exits 0 or 1, saying why. To an exporter behind a password it logs in with
``USER:PASSWORD``, the content of the file that ``EHPC_HEALTH_LOGIN_FILE`` names. Without that file, or with
a wrong password, an answer that asks for one is an answer, as is one that asks for a client's certificate:
it proves that the exporter listens, and no more. Restarting it would mend nothing.
"""

import base64
import http.client
import os
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 3.0


def check(address: str, login: str = "") -> str | None:
    """What is wrong; None if nothing is. ``login`` is ``USER:PASSWORD``."""
    headers = {}
    if login:
        headers["authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        port = parts.port or 10046
    except ValueError as error:
        return f"{address}: {error}"
    host = parts.hostname or "127.0.0.1"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":  # to itself: the certificate's name is of no use here
        trusting = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection = http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT_SECONDS, context=trusting
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts.path.rstrip("/") or "/-/healthy", headers=headers)
        answer = connection.getresponse()
        said = answer.read(300).decode(errors="replace").strip()
    except (ssl.SSLError, ConnectionError) as error:
        return None if hung_up(error) and parts.scheme == "https" else f"no answer: {error}"
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    return None if answer.status in {200, 401} else f"{answer.status}: {said}"


def hung_up(error: OSError) -> bool:
    """Whether somebody was there and ended it, as one does who wants a client's certificate: within
    the handshake (TLS 1.2), or when it is over for us (1.3), and not always with an alert. Each
    version of Python has another error for an end without one."""
    if isinstance(error, ssl.SSLError):
        ended = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        return ended or "_ALERT_" in (getattr(error, "reason", None) or "")
    return not isinstance(error, ConnectionRefusedError)


def read_login() -> str:
    """What the file holds; empty if there is none, or if it cannot be read, which is said."""
    name = os.environ.get("EHPC_HEALTH_LOGIN_FILE", "")
    try:
        return Path(name).read_text(encoding="utf-8").strip() if name else ""
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeError) as error:
        sys.stderr.write(f"{name} cannot be read: {type(error).__name__}\n")
        return ""


def main() -> int:
    """Exit code 0 or 1."""
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("EHPC_HEALTH_ADDRESS", "")
    problem = check(given or "http://127.0.0.1:10046", read_login())
    if problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
