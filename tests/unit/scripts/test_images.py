"""scripts/images.sh: what is pulled, and what is built where it can't be."""

from unit.scripts.conftest import Machine


def test_an_image_of_ones_own_is_left_to_compose(machine: Machine) -> None:
    (machine.folder / ".dev" / "logs").mkdir(parents=True)
    machine.add_docker(
        """"compose config --images") printf '%s\\n' dagma/dagma:local postgres:17-trixie dagma-mine ;;
"image inspect "*mine) exit 1 ;;
"image inspect "*) ;;"""
    )
    assert machine.run("provide_upstream_images").returncode == 0


def test_an_upstream_image_that_can_not_be_pulled_is_built(machine: Machine) -> None:
    (machine.folder / ".dev" / "logs").mkdir(parents=True)
    machine.add_docker('"compose config --images") echo postgres:17-trixie ;;\n"image inspect python"*) ;;')
    done = machine.run('quietly() { echo "$2 $3"; }; provide_upstream_images')
    assert done.stdout.splitlines()[1:] == ["docker/base/build.sh postgres:17-trixie"], done
