"""What a release consists of, made from the last commit: ``python -m deploy.dist``, or ``make dist``.

dist/ gets the sdist, the wheel, a list of what an installation contains (CycloneDX), and checksums.
Everything is built twice, in two places, and must come out the same to the byte: then anybody who
has the commit, and these versions of the build tools, can prove what the files were made of.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).parents[1]
CHECKSUMS = "SHA256SUMS"


class DistError(Exception):
    """What is to be released is not fit for it."""


def main() -> int:
    """Make ``dist/`` anew; gives the exit code."""
    out = ROOT / "dist"
    if _git("status", "--porcelain", "--untracked-files=no"):
        sys.stderr.write("note: what is not committed is left out\n")
    try:
        with tempfile.TemporaryDirectory(prefix="ehpc-dist-") as directory:
            files = make(Path(directory))
            if out.exists():
                shutil.rmtree(out)
            out.mkdir()
            for file in files:
                shutil.copyfile(file, out / file.name)
    except DistError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write((out / CHECKSUMS).read_text())
    return 0


def make(workshop: Path) -> list[Path]:
    """All files of a release, in a directory of the empty ``workshop``; proven reproducible."""
    packages = [build(workshop / place) for place in ("one", "another")]
    for first, second in zip(*packages, strict=True):
        if first.name != second.name or first.read_bytes() != second.read_bytes():
            raise DistError(f"{first.name} does not come out the same when it is built again")
    files = packages[0]
    wheel = next(file for file in files if file.suffix == ".whl")
    files.append(bill_of_materials(wheel, workshop / "one"))
    sums = files[0].with_name(CHECKSUMS)
    sums.write_text("".join(f"{_sha256(file)}  {file.name}\n" for file in files))
    return [*files, sums]


def build(place: Path) -> list[Path]:
    """The sdist and the wheel of the last commit, the sdist first, in ``place``/out."""
    source, out = place / "source", place / "out"
    unpack(BytesIO(_git("archive", "HEAD")), source)
    moment, revision = _git("log", "-1", "--format=%ct %H").decode().split()
    _run(
        [sys.executable, "-m", "build", "--no-isolation", f"--outdir={out}", str(source)],
        {"SOURCE_DATE_EPOCH": moment, "EHPC_REVISION": revision},
    )
    return sorted(out.iterdir(), key=lambda file: file.suffix == ".whl")


def unpack(archive: BinaryIO, place: Path) -> None:
    """The files of a tar archive, in a directory."""
    with tarfile.open(fileobj=archive) as files:
        # By this name, as Python 3.11.2 knows no `filter=`, and needs none for archives of ours.
        files.extraction_filter = getattr(tarfile, "data_filter", None)
        files.extractall(place)  # noqa: S202 - of our own making


def bill_of_materials(wheel: Path, place: Path) -> Path:
    """What is there when a wheel of ``build`` is installed in ``place``: CycloneDX, beside it."""
    venv = place / "venv"
    _run([sys.executable, "-m", "venv", "--without-pip", str(venv)])
    python = venv / "bin/python"
    _run([sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet", str(wheel)])
    name, version = wheel.name.split("-")[:2]
    answer = _run([str(venv / "bin/ehpc-exporter"), "--version"])
    if version not in answer.split():
        raise DistError(f"the installed wheel says that it is {answer!r}")
    out = wheel.with_name(f"{name}-{version}.cdx.json")
    _run(
        [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible",
         f"--pyproject={wheel.parents[1] / 'source/pyproject.toml'}", "--mc-type=application",
         "--spec-version=1.6", f"--output-file={out}", str(python)]
    )  # fmt: skip
    bom = json.loads(out.read_text())
    # The tool takes it from pyproject.toml, where the version is not written.
    bom["metadata"]["component"] |= {
        "version": version,
        "purl": f"pkg:pypi/ehpc-exporter@{version}",
    }
    out.write_text(json.dumps(bom, indent=2) + "\n")
    return out


def _run(command: Sequence[str], more: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=os.environ | (more or {}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DistError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def _git(*arguments: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, check=True
    ).stdout


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
