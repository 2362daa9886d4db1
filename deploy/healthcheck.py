"""Whether the exporter in this container is healthy, for images that have no curl.

Asks the URL in the first argument or in ``EHPC_HEALTH_ADDRESS``, or else
``http://127.0.0.1:10046/-/healthy``, which is also the path where only an address is given. Exits 0 or
1, saying why. An answer that asks for a password is an answer: whoever protects the exporter need not
hand its password to the container.
"""

import http.client
import os
import ssl
import sys
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 3.0


def check(address: str) -> str | None:
    """What is wrong; None if nothing is."""
    parts = urlsplit(address)
    port = parts.port or 10046
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
        connection.request("GET", parts.path.rstrip("/") or "/-/healthy")
        answer = connection.getresponse()
        said = answer.read(300).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    return None if answer.status in {200, 401} else f"{answer.status}: {said}"


def main() -> int:
    """Exit code 0 or 1."""
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("EHPC_HEALTH_ADDRESS", "")
    problem = check(given or "http://127.0.0.1:10046")
    if problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
