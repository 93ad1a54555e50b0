"""DAGMA_OUTBOUND: hosts and ports, and what is refused."""

import pytest

from dagma.environment import SettingError
from dagma.execution.outbound_routes import is_refused, routes_from_environment


def test_hosts_and_ports_are_read_in_any_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_OUTBOUND", " DB.Example.com:5432, s3.example.com:443,db.example.com:5432 ,,a_b.c-d.io:25")
    assert [str(route) for route in routes_from_environment()] == [
        "db.example.com:5432",
        "s3.example.com:443",
        "a_b.c-d.io:25",
    ]


def test_nothing_is_open_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_OUTBOUND", "")
    assert routes_from_environment() == []


@pytest.mark.parametrize(
    "entry",
    [
        *("db.example.com", "db.example.com:", "db.example.com:0", "db.example.com:65536", "db.example.com:5432-5440"),
        *("https://s3.example.com:443", "*.s3.example.com:443", "db.example.com:5432 s3.example.com:443"),
        # The stack's own, and this machine's.
        *("postgres-control:5432", "redis:6379", "langflow:7860", "localhost:5432"),
        *("127.0.0.1:5432", "169.254.169.254:80", "[fe80::1]:443", "fd00:ec2::254:80", "0x7f.1:80"),
        *("db..example.com:5432", "db.example.com.:5432", ":5432", f"{'a' * 64}.example.com:5432", 'a.b" x: [.c:1'),
    ],
)
def test_what_cannot_be_used_is_told_with_its_fix(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("DAGMA_OUTBOUND", f"db.example.com:5432,{entry}")
    with pytest.raises(SettingError) as caught:
        routes_from_environment()
    assert str(caught.value).startswith(f"DAGMA_OUTBOUND has {entry!r}. Give the whole name of each host")


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        *((address, True) for address in ("127.0.0.1", "::1", "0.0.0.0", "169.254.169.254", "::ffff:169.254.169.254")),
        *((address, True) for address in ("fe80::1%eth0", "224.0.0.1", "fd00:ec2::254", "168.63.129.16")),
        *((address, True) for address in ("fd20:ce::254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::")),
        *(
            (address, False)
            for address in ("192.0.2.7", "10.0.0.5", "192.168.1.4", "2001:db8::1", "fd00::5", "64:ff9b::c000:207")
        ),
    ],
)
def test_a_name_may_lead_to_a_private_address_and_not_to_the_machines_own(address: str, refused: bool) -> None:
    assert is_refused(address) is refused
