"""scripts/ensure-chromium.sh and the browser tests look for the same browser, and say the same where there is none."""

import pytest
from harness.chromium import ChromiumMissingError, find_chromium
from unit.scripts.conftest import Machine


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_a_browser_on_path_is_found_by_both(machine: Machine, name: str) -> None:
    path = str(machine.add_program(name, "true"))
    assert machine.run("find_chromium").stdout.strip() == path
    assert find_chromium(machine.environment) == path


def test_the_browser_that_is_named_wins(machine: Machine) -> None:
    machine.add_program("chromium", "true")
    named = str(machine.add_program("my-chrome", "true"))
    assert machine.run("find_chromium", DAGMA_CHROMIUM=named).stdout.strip() == named
    assert find_chromium({**machine.environment, "DAGMA_CHROMIUM": named}) == named


def test_a_named_browser_that_is_missing_is_an_error_for_both(machine: Machine) -> None:
    machine.add_program("chromium", "true")
    assert "DAGMA_CHROMIUM is /no/chrome" in machine.refusal("ensure_chromium", DAGMA_CHROMIUM="/no/chrome")
    with pytest.raises(ChromiumMissingError, match="DAGMA_CHROMIUM=/no/chrome"):
        find_chromium({**machine.environment, "DAGMA_CHROMIUM": "/no/chrome"})


def test_no_browser_is_an_error_that_says_what_to_install(machine: Machine) -> None:
    stderr = machine.refusal("is_root() { false; }; os_id() { echo debian; }; ensure_chromium")
    assert "install the package chromium" in stderr
    with pytest.raises(ChromiumMissingError, match="apt-get install chromium"):
        find_chromium(machine.environment)


@pytest.mark.parametrize("when", ["check_chromium", "ensure_chromium"])
def test_ubuntu_is_told_of_its_snap(machine: Machine, when: str) -> None:
    stderr = machine.refusal(f"is_root() {{ true; }}; os_id() {{ echo ubuntu; }}; {when}")
    assert "snap install chromium" in stderr


def test_root_on_debian_gets_the_package_and_a_font(machine: Machine) -> None:
    calls = machine.folder / "calls"
    machine.add_program("apt-get", f'echo "$*" >> {calls}')
    done = machine.run("is_root() { true; }; os_id() { echo debian; }; ensure_chromium")
    assert done.returncode == 0, done.stderr
    assert calls.read_text().splitlines() == [
        "update",
        "install -y --no-install-recommends chromium fonts-inter fonts-liberation",
    ]
