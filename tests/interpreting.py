"""Programs that have to be started with Triton's interpreter on."""

import os
import subprocess
import sys
from pathlib import Path


def assert_equal_in_the_interpreter(module: str) -> None:
    """Run `module` of the tests, which compares and at last prints "equal"."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", module]
    folder = Path(__file__).parent
    outcome = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stdout.endswith("equal\n")
