import subprocess
import sys
import traceback
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from ledger_suites.tools import MakeLedger, new_call
from sqlalchemy import create_engine, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dagma.ledger import (
    Begun,
    Ledger,
    LedgerNotMigratedError,
    LedgerSettings,
    LedgerSettingsError,
    LedgerUnavailableError,
    database,
)
from dagma.ledger.database import Database, utc_now
from dagma.ledger.grouped_ledger import GroupedLedger
from dagma.ledger.reports import last_calls
from dagma.ledger.totals import recent_means

PASSWORD = "hunter2-secret"


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    """A ledger whose file is not there yet."""
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("nonsense", "can't be read"),
        ("mysql://root@db/dagma", "PostgreSQL or SQLite"),
        ("postgres://me@db/dagma", "Write postgresql://"),
        ("postgresql+psycopg://me@db/dagma", "Write postgresql://"),
        ("sqlite://", "Name a file"),
        ("sqlite:///:memory:", "Name a file"),
        ("sqlite:///ledger.db", "Name a file"),
    ],
)
def test_a_url_that_can_not_be_used_is_refused_with_the_fix(url: str, fix: str) -> None:
    with pytest.raises(LedgerSettingsError, match=fix):
        Database(url)


def test_a_password_in_an_unreadable_url_is_not_repeated() -> None:
    with pytest.raises(LedgerSettingsError) as caught:
        Database(f"postgresql:/dagma:{PASSWORD}@db/dagma")
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in str(caught.value.__cause__)


@pytest.mark.parametrize("password", ["my@S3cret", "my@S3:cret", "a@b@S3cret", "my:S3cret@", "my@S3/cret"])
def test_a_password_that_is_not_percent_encoded_is_refused_and_not_repeated(password: str) -> None:
    with pytest.raises(LedgerSettingsError, match="percent-encode") as caught:
        Database(f"postgresql://dagma:{password}@db/dagma")
    assert "cret" not in "".join(traceback.format_exception(caught.value, limit=0))


@pytest.mark.parametrize("password", ["my%40S3cret", "12#34:x", "my/S3cret"])
def test_a_password_that_can_be_read_is_taken(password: str) -> None:
    assert Database(f"postgresql://dagma:{password}@db/dagma").name == "postgresql://db/dagma"


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    ledger = Ledger(f"postgresql://dagma:{PASSWORD}@127.0.0.1:9/dagma?sslpassword={PASSWORD}", patience_seconds=0)
    with pytest.raises(LedgerUnavailableError, match=r"postgresql://127\.0\.0\.1:9/dagma .*DAGMA_LEDGER_URL") as caught:
        ledger.begin(new_call())
    assert PASSWORD not in str(caught.value)
    assert caught.value.__suppress_context__


def test_calls_of_a_batch_wait_for_a_server_that_is_away_as_long_as_a_call_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waited = 0.0

    def sleep(seconds: float) -> None:
        nonlocal waited
        waited += seconds

    monkeypatch.setattr(database, "time", SimpleNamespace(monotonic=lambda: waited, sleep=sleep))
    ledger = GroupedLedger(Ledger("postgresql://dagma@127.0.0.1:9/dagma", patience_seconds=30))
    ledger.begin_ahead([new_call()])
    assert waited == 0
    with pytest.raises(LedgerUnavailableError):
        ledger.begin(new_call())
    assert 0 < waited <= 30
    waited, begun = 0.0, Begun(state="new", call_id="1", key="1", attempt=1, begun_at=utc_now(), mode="direct")
    ledger.finish(begun, raw="Paris")
    ledger.flush()
    assert 0 < waited <= 60
    assert "Call 1 was answered, and is not recorded so" in caplog.text


def test_a_refused_statement_is_explained_without_the_texts_it_carried(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(texts="full")
    refusal = text("CREATE TRIGGER refusal BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    ledger.database.transact(lambda connection: connection.execute(refusal))
    with pytest.raises(LedgerUnavailableError, match="disk full") as caught:
        ledger.begin(new_call(input_text="my diary"))
    assert "my diary" not in str(caught.value)


def test_what_recent_calls_took_is_told_as_soon_as_the_database_is_back(
    make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = make_ledger()
    ledger.finish(ledger.begin(new_call(flow_id="flow")), raw="Paris")
    outages, check_version = [PoolTimeoutError("there is no connection")], ledger.database.check_version

    def connect() -> None:
        if outages:
            raise outages.pop()
        check_version()

    monkeypatch.setattr(ledger.database, "check_version", connect)
    assert recent_means(ledger.database, "flow").calls == 1


@pytest.mark.parametrize("file", ["blocked/ledger.db", "ledger.db"], ids=["its folder", "the folder of its locks"])
def test_an_sqlite_ledger_whose_folder_can_not_be_made_is_unavailable(tmp_path: Path, file: str) -> None:
    for name in ("blocked", "ledger.db.live"):
        (tmp_path / name).touch()
    with pytest.raises(LedgerUnavailableError, match=r"File exists: .*can be written"):
        Ledger(f"sqlite:///{tmp_path}/{file}").begin(new_call())


def test_a_report_that_gets_no_connection_says_that_the_ledger_is_unavailable(
    make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        database, "create_engine", partial(create_engine, pool_size=1, max_overflow=0, pool_timeout=0.01)
    )
    ledger = make_ledger()
    with ledger.database.read(), pytest.raises(LedgerUnavailableError, match="QueuePool limit"):
        last_calls(ledger.database, 1)


def test_an_sqlite_ledger_makes_its_own_tables(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/made/for/me/ledger.db")
    assert ledger.begin(new_call()).state == "new"


def test_a_new_sqlite_ledger_is_for_its_owner_only(tmp_path: Path, make_ledger: MakeLedger) -> None:
    make_ledger().begin(new_call())
    modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("ledger.db*") if path.is_file()}
    assert modes == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), 0)


@pytest.mark.parametrize(
    ("version", "reason"),
    [("0005", r"can't bring to .*'0005'.*DAGMA_LEDGER_URL"), ("9999", r"9999, and this dagma needs .*upgrade dagma")],
)
def test_a_ledger_of_a_version_that_the_code_does_not_know_is_left_alone(
    make_ledger: MakeLedger, version: str, reason: str
) -> None:
    ledger = make_ledger()
    ledger.begin(new_call())
    with ledger.database.engine.begin() as connection:
        connection.execute(text("UPDATE ledger_version SET version_num = :version"), {"version": version})
    with pytest.raises(LedgerNotMigratedError, match=reason):
        make_ledger().begin(new_call())


def test_several_processes_may_meet_a_new_file_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from dagma.ledger import Call, Ledger;"
        "Ledger(sys.argv[1]).begin(Call(flow_id='f', input_hash='h', scope=sys.argv[2]))"
    )
    url = f"sqlite:///{tmp_path}/ledger.db"
    children = [subprocess.Popen([sys.executable, "-c", script, url, str(number)]) for number in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len(last_calls(Database(url), 10)) == 3


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    settings = LedgerSettings.from_environment(
        {
            "DAGSTER_HOME": str(tmp_path),
            "DAGMA_LEDGER_URL": "",
            "DAGMA_LEDGER_TEXTS": "none",
            "DAGMA_LEDGER_ON_UNKNOWN": "resend",
            "DAGMA_LEDGER_REPLAY_HOURS": "1.5",
            "DAGMA_QUOTAS": "calls=5/day",
            "DAGMA_PRICES": "tiny=1/2",
        }
    )
    assert settings == LedgerSettings(
        url=f"sqlite:///{tmp_path}/ledger.db",
        texts="none",
        on_unknown="resend",
        replay_hours=1.5,
        quotas="calls=5/day",
        prices="tiny=1/2",
    )
    ledger = settings.open()
    assert ledger.texts.keep == "none"
    assert [str(limit) for limit in ledger.limits] == ["calls=5/day"]


def test_the_database_can_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://dagma:of-the-file@db/dagma\n")
    variables = {"DAGSTER_HOME": str(tmp_path), "DAGMA_LEDGER_URL_FILE": str(tmp_path / "url")}
    assert LedgerSettings.from_environment(variables).url == "postgresql://dagma:of-the-file@db/dagma"
    with pytest.raises(LedgerSettingsError, match=r"DAGMA_LEDGER_URL_FILE is .*can't be read"):
        LedgerSettings.from_environment({"DAGMA_LEDGER_URL_FILE": str(tmp_path / "none")})


def test_every_setting_can_stand_in_a_file(tmp_path: Path) -> None:
    variables = {"DAGSTER_HOME": str(tmp_path)}
    for name, value in {
        "DAGMA_LEDGER_TEXTS": "none",
        "DAGMA_LEDGER_REDACT": "secret",
        "DAGMA_LEDGER_ON_UNKNOWN": "resend",
        "DAGMA_LEDGER_REPLAY_HOURS": "1.5",
        "DAGMA_QUOTAS": "calls=5/day",
        "DAGMA_PRICES": "tiny=1/2",
    }.items():
        (tmp_path / name).write_text(f"{value}\n")
        variables[f"{name}_FILE"] = str(tmp_path / name)
    assert LedgerSettings.from_environment(variables) == LedgerSettings(
        url=f"sqlite:///{tmp_path}/ledger.db",
        texts="none",
        redact="secret",
        on_unknown="resend",
        replay_hours=1.5,
        quotas="calls=5/day",
        prices="tiny=1/2",
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DAGMA_LEDGER_REPLAY_HOURS", "nan"),
        ("DAGMA_LEDGER_REPLAY_HOURS", "inf"),
        ("DAGMA_QUOTAS", "many"),
        ("DAGMA_PRICES", "cheap"),
        ("DAGSTER_HOME", ""),
    ],
)
def test_a_setting_that_can_not_be_read_is_refused(variable: str, value: str) -> None:
    with pytest.raises(LedgerSettingsError, match=f"{variable} is|can't be read|set DAGSTER_HOME"):
        LedgerSettings.from_environment({"DAGSTER_HOME": "/somewhere", variable: value}).open()
