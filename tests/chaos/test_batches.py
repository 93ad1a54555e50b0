"""A table that is killed while its rows are asked: each is answered all the same, and paid for once.

`N` and `SEED` choose how many kills, and which: make test TESTS=tests/chaos/test_batches.py N=20 SEED=7. Each kind of
kill comes once before any of them again.
"""

import os
from pathlib import Path

import pytest
from chaos.table_kills import VICTIMS, damage_on_a_stack, seed_of


def test_a_table_survives_kills_at_random_moments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        damage = damage_on_a_stack(tmp_path, int(os.environ.get("N") or len(VICTIMS)), seed_of(os.environ.get("SEED")))

    assert not damage.problems(), damage.problems()
