"""The count of requests that batches are judged by."""

from bench.fake_process import fake_langflow
from bench.fake_server import REMEMBERED_RUNS
from bench.million_rows import kill_after

from dagma.langflow import Access, LangflowClient


def test_the_fake_server_counts_runs_and_different_inputs_of_its_echo_only() -> None:
    with fake_langflow() as fake, LangflowClient(fake.base_url, Access(api_key=fake.api_key)) as client:
        assert fake.counts() == (0, 0)
        answers = [client.run(fake.echo_id, question).answer for question in ("a", "b", "a")]
        client.run(fake.flow_id, "c")
        assert answers == ["a", "b", "a"]
        assert fake.counts() == (3, 2)


def test_a_batch_is_killed_while_the_server_still_remembers_what_was_in_flight() -> None:
    assert kill_after(600) == 300
    assert kill_after(1_000_000) == 502_500
    assert kill_after(20_000) % REMEMBERED_RUNS == REMEMBERED_RUNS // 2
