"""The queries that the pages offer to paste."""

import re
import textwrap


def queries_of(page: str) -> list[str]:
    """What stands in the blocks of PromQL of a page; one for each line that begins none before."""
    blocks = re.findall(r"^ *```promql\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    queries = []
    for block in blocks:
        lines = [re.sub(r"\s+#.*$", "", line) for line in textwrap.dedent(block).splitlines()]
        if any(re.match(r"\s|[-+*/)]", line) for line in lines):  # one query on several lines
            queries.append("\n".join(lines))
        else:
            queries += [line for line in lines if line]
    return queries
