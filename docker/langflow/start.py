"""Start Langflow with the secrets of its container: `start.py run --host 0.0.0.0 --port 7860`.

Langflow takes secrets from its environment only, where `docker inspect` and /proc show what Compose put there. So this
sets `NAME` to what the file holds that `NAME_FILE` names, inside the process that becomes Langflow: /proc/*/environ is
what a process was started with, and the server's workers are forks of this one.
"""

import os
import sys
from pathlib import Path

SECRETS = Path("/run/secrets")


def read_secrets() -> None:
    """Set every variable whose file is a secret and is not empty."""
    for variable, path in list(os.environ.items()):
        if variable.endswith("_FILE") and Path(path).parent == SECRETS and (value := Path(path).read_text().strip()):
            os.environ[variable.removesuffix("_FILE")] = value


if __name__ == "__main__":
    read_secrets()
    from langflow.langflow_launcher import main

    sys.exit(main())
