"""A fake Langflow in a process of its own, so that the client measured does not share an interpreter with it.

It prints its address, key and flow as one line of JSON, and ends when its standard input does.
"""

import json
import sys

from dagma.testing import FakeAnswer, FakeLangflow

if __name__ == "__main__":
    with FakeLangflow() as fake:
        answer = FakeAnswer("The capital of France is Paris.", input_tokens=28, output_tokens=8)
        flow_id = fake.add_flow("bench", lambda _call: answer)
        print(json.dumps({"base_url": fake.base_url, "api_key": fake.api_key, "flow_id": flow_id}), flush=True)
        sys.stdin.read()
