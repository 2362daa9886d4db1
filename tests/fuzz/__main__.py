"""``python -m tests.fuzz TARGET SECONDS``: feed one target with what covers ever more of it.

What makes it fail is kept in build/fuzz/TARGET/, and is tried first the next time.
"""

import argparse
import json
import sys

try:
    import atheris
except ImportError:
    sys.exit("atheris is missing: pip install --editable '.[fuzz]'")

with atheris.instrument_imports(include=["exporter", "yaml"]):
    from tests.fuzz.targets import ROOT, TARGETS


def main() -> None:
    """Fuzz; ends with the exit code 0, or with that of libFuzzer if the target failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("seconds", type=int)
    args = parser.parse_args()
    target = TARGETS[args.target]
    corpus = ROOT / "build/fuzz" / args.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    dictionary = corpus.with_suffix(".dict")
    dictionary.write_text("".join(f"{_quoted(word)}\n" for word in target.words))

    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={args.seconds}",
            f"-dict={dictionary}",
            f"-artifact_prefix={corpus}/",
            "-max_len=4096",
            "-timeout=10",
            "-print_final_stats=1",
            str(corpus),
        ],
        target.run,
    )
    atheris.Fuzz()


def _quoted(word: str) -> str:
    """As libFuzzer's dictionaries have it."""
    return json.dumps(word).replace("\\n", "\\x0a").replace("\\\\", "\\x5c")


if __name__ == "__main__":
    main()
