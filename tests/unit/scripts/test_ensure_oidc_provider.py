"""scripts/ensure-oidc-provider.sh: the packages of the gateway's tests are all there, or the cause is said."""

import pytest
from unit.scripts.conftest import ROOT, Machine

LOCK = ".dev/oidc-provider/package-lock.json"


@pytest.fixture
def calls(machine: Machine) -> Machine:
    """A machine whose npm writes its calls into the file `calls`, and fails while there is a file `offline`."""
    (machine.folder / "tests").symlink_to(ROOT / "tests")
    (machine.folder / ".dev/logs").mkdir(parents=True)
    (machine.folder / ".venv/bin").mkdir(parents=True)
    npm = 'echo "$NODE_EXTRA_CA_CERTS $*" >>calls; if [ -f offline ]; then echo "getaddrinfo ENOTFOUND"; exit 1; fi'
    (machine.folder / ".venv/bin/npm").symlink_to(machine.add_program("npm", npm))
    return machine


def test_its_packages_are_installed_once(calls: Machine) -> None:
    authorities = str(calls.write("authorities.pem", "of a proxy"))
    for _ in range(2):
        done = calls.run("ensure_oidc_provider", SSL_CERT_FILE=authorities)
        assert (done.returncode, done.stderr) == (0, "")
    (call,) = (calls.folder / "calls").read_text().splitlines()
    assert call.startswith(f"{authorities} ci ")
    assert (calls.folder / LOCK).read_text() == (calls.folder / "tests/oidc_provider/package-lock.json").read_text()


def test_without_a_network_it_says_so_and_the_other_tests_go_on(calls: Machine) -> None:
    offline = calls.write("offline", "")
    done = calls.run("ensure_oidc_provider")
    assert done.returncode == 0
    assert "getaddrinfo ENOTFOUND" in done.stderr
    assert "warning: npm could not install the login provider" in done.stderr
    assert not (calls.folder / LOCK).exists()
    offline.unlink()
    assert calls.run("ensure_oidc_provider").stderr == ""
    assert (calls.folder / LOCK).exists()
