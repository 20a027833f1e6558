"""What the tests against other libraries share."""

import os
import shutil
import subprocess

import pytest
import requests


@pytest.fixture
def session():
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="session")
def npm_installed(tmp_path_factory):
    """A function that installs packages for Node.js into a new folder.

    They are programs from the network, so the developer has to ask for them with an environment variable.
    Without it, or without Node.js or a registry, the test is skipped.
    """
    if not os.environ.get("GEMINISTREAM_NPM_TESTS"):
        pytest.skip("set GEMINISTREAM_NPM_TESTS=1 to download packages from npm")
    npm = shutil.which("npm")
    if not (npm and shutil.which("node")):
        pytest.skip("there is no Node.js with npm")

    def install(*packages):
        folder = tmp_path_factory.mktemp("npm")
        (folder / "package.json").write_text("{}")
        command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", *packages]
        try:
            installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            pytest.skip("npm did not install the packages within 120 s")
        if installed.returncode:
            pytest.skip(f"npm cannot install the packages: {installed.stderr[-500:]}")
        return folder

    return install
