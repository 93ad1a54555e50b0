"""What somebody can do who has the password of the ledger's application role, and nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from ledger_suites.tools import MakeLedger, new_call
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from stack.ledger_fixtures import LedgerPostgres

from dagma.ledger import AnswerExpiredError, Begun, Ledger, QuotaExceededError, Usage, tables
from dagma.ledger.reports import last_calls

INSERT = (
    "INSERT INTO calls"
    " (id, key, attempt, scope, flow_id, backend, mode, state, reserved_tokens, reserved_cost, input_hash{columns})"
    " VALUES"
    " (md5(random()::text), md5(random()::text), 1, 's', 'flow-1', 'b', 'direct', 'begun', 0, 0, 'x'{values})"
)
LONG_AGO = "RETURNS timestamptz LANGUAGE sql AS 'SELECT timestamptz ''2020-01-01'''"
REFUSED = INSERT.replace("1, 's'", "0, 's'").replace("'begun'", "'refused'")


@pytest.fixture
def attacker(ledger_postgres: LedgerPostgres) -> Iterator[Connection]:
    """A session of the application's role that commits each statement."""
    engine = create_engine(ledger_postgres.app_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def ledger(make_ledger: MakeLedger) -> Ledger:
    return make_ledger()


@pytest.fixture
def calls(ledger: Ledger) -> dict[str, Begun]:
    """A call in each state, by its name."""
    made = {name: ledger.begin(new_call(step=name)) for name in ("begun", "answered", "other", "failed", "unknown")}
    made["submitted"] = ledger.begin(new_call(step="submitted", mode="job"))
    ledger.submitted(made["submitted"], "job-1")
    for name in ("answered", "other"):
        ledger.finish(made[name], raw=name, usages=[Usage(input_tokens=20, output_tokens=8)])
    ledger.fail(made["failed"], "ServerError", "HTTP 500")
    ledger.unknown(made["unknown"], "ReadTimeout", "")
    return made


def attack(connection: Connection, statement: str) -> str:
    """Run a statement that must be refused, and give the reason."""
    with pytest.raises(DBAPIError) as caught:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    return str(caught.value.orig)


def columns(**values: str) -> str:
    return INSERT.format(
        columns="".join(f", {name}" for name in values), values="".join(f", {v}" for v in values.values())
    )


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    "statement",
    [
        columns(begun_at="now() - interval '40 days'"),
        columns(submitted_at="now()"),
        columns(finished_at="now()"),
        columns(total_tokens="-1000000000"),
        columns(cost="-5"),
        columns(duration_ms="1"),
        columns(estimated_tokens="0"),
        columns(answer_hash="'x'"),
        columns(job_id="'j'"),
        *(
            f"UPDATE calls SET {change}"  # noqa: S608 (own text)
            for change in (
                "begun_at = now() - interval '40 days'",
                "submitted_at = now()",
                "finished_at = NULL",
                "reserved_tokens = 0",
                "reserved_cost = 0",
                "flow_id = 'another'",
                "flow_name = 'another'",
                "flow_title = 'another'",
                "principal = 'cli:boss'",
                "key = 'x', attempt = 9",
                "run_id = 'x'",
                "mode = 'job'",
                "input_text = ''",
                "input_characters = 0",
            )
        ),
        "DELETE FROM calls",
        "TRUNCATE calls CASCADE",
        "DROP TABLE calls CASCADE",
        "DELETE FROM replays",
        "DELETE FROM replays WHERE expires_at < now()",
        "TRUNCATE replays",
        "UPDATE replays SET body = '1'",
        "UPDATE replays SET expires_at = now() + interval '9 years'",
        "INSERT INTO replays (call_id, body, created_at, expires_at) SELECT id, '1', now(), now() FROM calls",
        "INSERT INTO rejections (call_id, rejected_at) SELECT id, now() - interval '1 day' FROM calls",
        "UPDATE rejections SET reason = ''",
        "DELETE FROM rejections",
        "UPDATE usage_hours SET calls = 0, tokens = 0",
        "DELETE FROM usage_hours",
        "TRUNCATE usage_hours",
        "INSERT INTO usage_hours (flow_id, hour, calls, tokens, cost, metered_calls, metered_tokens, priced_calls,"
        " priced_cost) VALUES ('flow-1', now(), -9, -9, -9, 0, 0, 0, 0)",
        "INSERT INTO usage_hours SELECT 'x', hour, 'x', 0, 0, 0, 0, 0, 0, 0 FROM usage_hours",
        "UPDATE ledger_version SET version_num = '0'",
        "UPDATE retention SET keep_days = 30",
        "INSERT INTO retention VALUES (30)",
        "DELETE FROM retention",
        "DELETE FROM housekeeping",
        "UPDATE housekeeping SET lost_until = now()",
        "INSERT INTO housekeeping VALUES (now())",
        f"CREATE OR REPLACE FUNCTION ledger_now() {LONG_AGO}",
        "CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "ALTER FUNCTION ledger_count_call() SECURITY INVOKER",
        "ALTER TABLE calls DROP CONSTRAINT calls_amounts",
        "ALTER TABLE calls DISABLE TRIGGER calls_time_begin",
        "ALTER TABLE calls DISABLE TRIGGER ALL",
        "DROP TRIGGER calls_move ON calls",
        "DROP TRIGGER calls_finished_stay ON calls",
        "CREATE TRIGGER mine BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "LOCK TABLE calls IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE replays IN ACCESS EXCLUSIVE MODE",
        "CREATE TABLE public.mine (x int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SET session_replication_role = replica",
        "SELECT ledger_reject_answer()",
    ],
)
def test_no_right_is_there_for(attacker: Connection, statement: str) -> None:
    if statement.startswith("LOCK"):
        statement = f"BEGIN; {statement}"
    reason = attack(attacker, statement)
    assert "permission denied" in reason or "must be owner" in reason, reason


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    "statement",
    [
        INSERT.replace("'begun', 0, 0", "'begun', -1000000000, 0"),
        INSERT.replace("'begun', 0, 0", "'begun', 0, -5"),
        INSERT.replace("'begun', 0, 0", "'begun', 1000000000001, 0"),
        INSERT.replace("'begun', 0, 0", "'begun', 99999999999999999999, 0"),
        INSERT.replace("'begun', 0, 0", "'begun', 0, 1000000000"),
        INSERT.replace("'begun', 0, 0", "'begun', 0, 'NaN'"),
        INSERT.replace("'begun', 0, 0", "'begun', 0, 'Infinity'"),
        INSERT.replace("'begun', 0, 0", "'begun', 0, '-Infinity'"),
        INSERT.replace("'begun'", "'answered'"),
        INSERT.replace("'begun'", "'submitted'"),
        INSERT.replace("'begun'", "'invented'"),
        INSERT.replace("1, 's'", "-1, 's'"),
        INSERT.replace("1, 's'", "0, 's'"),
        INSERT.replace("'begun'", "'refused'"),
        REFUSED,
        columns(principal="repeat('x', 201)"),
        columns(input_characters="-1"),
        columns(error_message="repeat('x', 1001)"),
        columns(refusals="1"),
        *(
            f"UPDATE calls SET {change} WHERE step = 'begun'"  # noqa: S608 (own text)
            for change in (
                "total_tokens = -1, state = 'answered'",
                "total_tokens = 1000000000001, state = 'answered'",
                "output_tokens = -1, state = 'answered'",
                "cost = -0.01, state = 'answered'",
                "cost = 'NaN', state = 'answered'",
                "duration_ms = -1, state = 'answered'",
                "estimated_tokens = -1, state = 'answered'",
                "estimated_cost = 'NaN', state = 'answered'",
                "estimated_tokens = 0, state = 'failed'",
                "estimated_tokens = 0, total_tokens = 5, state = 'answered'",
                "total_tokens = 0",
                "cost = 0",
                "state = 'submitted'",
                "state = 'refused'",
                "refusals = 1",
            )
        ),
        "UPDATE calls SET state = 'begun' WHERE step = 'unknown'",
        "UPDATE calls SET state = 'submitted' WHERE step = 'unknown'",
        "UPDATE calls SET state = 'begun', job_id = NULL WHERE step = 'submitted'",
        "UPDATE calls SET state = 'begun' WHERE step = 'answered'",
        "UPDATE calls SET total_tokens = 0, cost = 0 WHERE step = 'answered'",
        "UPDATE calls SET answer_text = 'Rome' WHERE step = 'failed'",
        "INSERT INTO rejections (call_id) SELECT id FROM calls WHERE step = 'begun'",
    ],
)
def test_the_database_does_not_believe(attacker: Connection, ledger: Ledger, statement: str) -> None:
    before = [last_calls(ledger.database, 99), attacker.execute(text("SELECT * FROM usage_hours")).all()]
    reason = attack(attacker, statement.format(columns="", values=""))
    assert any(
        why in reason for why in ("violates check", "dagma ledger:", "out of range", "numeric field overflow")
    ), reason
    after = [last_calls(ledger.database, 99), attacker.execute(text("SELECT * FROM usage_hours")).all()]
    assert after == before


def test_a_negative_reservation_makes_no_room_in_a_quota(attacker: Connection, make_ledger: MakeLedger) -> None:
    ledger = make_ledger(quotas="tokens=100/day reserve=100")
    ledger.begin(new_call())
    attack(attacker, INSERT.format(columns="", values="").replace("'begun', 0, 0", "'begun', -1000000000, 0"))
    with pytest.raises(QuotaExceededError):
        ledger.begin(new_call())


@pytest.mark.parametrize(
    "prelude",
    [
        f"CREATE FUNCTION pg_temp.ledger_now() {LONG_AGO}",
        f"CREATE FUNCTION pg_temp.clock_timestamp() {LONG_AGO}",
        "SET timezone = 'Pacific/Kiritimati'",
        "CREATE TEMPORARY TABLE usage_hours (flow_id text, hour timestamptz)",
        "SELECT 1",
    ],
)
def test_a_call_can_not_be_backdated(attacker: Connection, prelude: str) -> None:
    attacker.exec_driver_sql(prelude)
    attacker.exec_driver_sql("SET search_path = pg_temp, public")
    attacker.exec_driver_sql(INSERT.format(columns="", values=""))
    (begun,) = attacker.execute(text("SELECT begun_at FROM public.calls")).scalars()
    (hour,) = attacker.execute(text("SELECT hour FROM public.usage_hours")).scalars()
    assert abs(begun - datetime.now(UTC)) < timedelta(minutes=1)
    assert hour == begun.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def test_a_machine_with_a_wrong_clock_counts_in_the_window_of_the_database(make_ledger: MakeLedger) -> None:
    for days in (-40, 40):
        ledger = make_ledger(quotas="calls=2/month", clock=lambda ahead=days: datetime.now(UTC) + timedelta(days=ahead))
        begun = ledger.begin(new_call())
        ledger.finish(begun, raw="Paris")
        assert abs(begun.begun_at - datetime.now(UTC)) < timedelta(minutes=1)
    with pytest.raises(QuotaExceededError):
        ledger.begin(new_call())
    for row in last_calls(ledger.database, 9, tables.calls.c.state == "answered"):
        assert row["begun_at"] <= row["finished_at"] < row["begun_at"] + timedelta(minutes=1)
        assert 0 <= row["duration_ms"] < 60_000


def test_figures_of_the_greatest_kind_hinder_no_call(attacker: Connection, ledger: Ledger) -> None:
    for _ in range(20):
        attacker.exec_driver_sql(
            INSERT.format(columns="", values="").replace("'begun', 0, 0", "'begun', 1000000000000, 999999999.999999999")
        )
    begun = ledger.begin(new_call())
    ledger.finish(begun, raw="Paris", usages=[Usage(input_tokens=20, output_tokens=8)])
    assert last_calls(ledger.database, 1, tables.calls.c.state == "answered")[0]["total_tokens"] == 28


@pytest.mark.parametrize(
    "forged",
    [
        "SELECT id, '\"Rome\"', 'infinity' FROM calls WHERE step = 'answered'",
        "SELECT id, '\"other\"', 'infinity' FROM calls WHERE step = 'answered'",
        "SELECT id, '1', 'infinity' FROM calls WHERE step = 'begun'",
        "SELECT id, '1', 'infinity' FROM calls WHERE step = 'failed'",
        "SELECT repeat('f', 32), '1', 'infinity'",
    ],
)
def test_an_answer_can_not_be_put_in_the_place_of_another(
    attacker: Connection, calls: dict[str, Begun], ledger_postgres: LedgerPostgres, forged: str
) -> None:
    engine = create_engine(ledger_postgres.owner_url)
    with engine.begin() as owner:  # as if it had expired
        owner.execute(text("DELETE FROM replays WHERE call_id = :id"), {"id": calls["answered"].call_id})
    engine.dispose()
    reason = attack(attacker, f"INSERT INTO replays (call_id, body, expires_at) {forged}")
    assert "a raw response is kept for the call that it answered" in reason


def test_a_rejected_answer_can_not_be_put_back(attacker: Connection, ledger: Ledger) -> None:
    call = new_call()
    begun = ledger.begin(call)
    ledger.finish(begun, raw="Paris")
    ledger.reject(begun, "wrong")
    attacker.execute(
        text("INSERT INTO replays (call_id, body, expires_at) VALUES (:id, :body, now())"),
        {"id": begun.call_id, "body": '"Paris"'},
    )
    assert ledger.begin(call).attempt == 2


def test_answers_are_kept_as_long_as_they_were_meant_to_be(attacker: Connection, make_ledger: MakeLedger) -> None:
    ledger, call, soon = make_ledger(), new_call(), new_call()
    ledger.finish(ledger.begin(call), raw="Paris")
    short = make_ledger(replay_hours=1e-6)
    short.finish(short.begin(soon), raw="Rome")
    attacker.exec_driver_sql("SELECT pg_sleep(0.05)")
    assert attacker.exec_driver_sql("SELECT ledger_expire_replays()").scalar() == 1
    assert make_ledger(replay_hours=1e-6).expire_replays() == 0
    assert ledger.begin(call).raw == "Paris"
    with pytest.raises(AnswerExpiredError):
        ledger.begin(soon)


def test_an_answer_is_kept_for_ten_years_at_most(attacker: Connection, calls: dict[str, Begun], ledger: Ledger) -> None:
    assert attacker.exec_driver_sql("SELECT max(expires_at) < now() + interval '4 days' FROM replays").scalar()
    begun = calls["begun"]
    attacker.exec_driver_sql(
        "UPDATE calls SET state = 'answered', answer_hash = encode(sha256('1'), 'hex') WHERE step = 'begun'"
    )
    attacker.execute(
        text("INSERT INTO replays (call_id, body, expires_at) VALUES (:id, '1', 'infinity')"), {"id": begun.call_id}
    )
    assert attacker.exec_driver_sql("SELECT max(expires_at) < now() + interval '11 years' FROM replays").scalar()


def test_a_refused_call_is_counted_and_nothing_else(attacker: Connection, make_ledger: MakeLedger) -> None:
    ledger = make_ledger(quotas="calls=0/day")
    with pytest.raises(QuotaExceededError):
        ledger.begin(new_call())
    for change in (
        "state = 'answered', refusals = NULL",
        "state = 'begun'",
        "refusals = refusals + 2",
        "refusals = 1",
        "refusals = refusals + 1, answer_text = 'x'",
        "error_message = 'none'",
        "total_tokens = 1",
    ):
        assert "dagma ledger:" in attack(attacker, f"UPDATE calls SET {change}")  # noqa: S608 (own text)
    attacker.exec_driver_sql("UPDATE calls SET refusals = refusals + 1")
    assert attacker.exec_driver_sql("SELECT count(*) FROM usage_hours").scalar() == 0
