"""A child process that is asked, and does not take us with it when it dies or hangs."""

import json
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Child", "ChildError"]

ROOT = Path(__file__).parents[2]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS")
# A place of this machine; what follows its last slash is kept.
PLACE = re.compile(r"(?:/[\w.+@~-]+)*/([\w.+@~-]+)")
ERROR = re.compile(r"[\w.]+(Error|Exception)\b")
LONGEST = 200


class ChildError(Exception):
    """It died or hung; the message says how, without places of this machine."""


class Child:
    """`python -m benchmarks.page.child` by `python`, with so many threads; ChildError where it does not start."""

    def __init__(self, python: str, threads: int, environment: Mapping[str, str]) -> None:
        # No hub is asked while something is timed.
        own = dict.fromkeys(THREADS, str(threads)) | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # close() does
        try:
            self.process = subprocess.Popen(
                [python, "-W", "ignore", "-m", "benchmarks.page.child"],
                cwd=ROOT,
                env=os.environ | own | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise ChildError(f"its Python does not start: {error.strerror}") from error

    def ask(self, request: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """The answer; ChildError where there is none within `limit` seconds."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            line = self._line(time.monotonic() + limit)
        except BrokenPipeError:
            line = b""
        except TimeoutError:
            raise ChildError(f"no answer within {limit:g} s ({request['do']})") from None
        if not line.endswith(b"\n"):
            raise ChildError(f"died ({request['do']}): {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends it and what it started, whatever they do."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        self._errors.close()

    def _line(self, until: float) -> bytes:
        output = self.process.stdout
        assert output is not None
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise TimeoutError
                part = os.read(output.fileno(), 2**16)
                if not part:
                    break
                line += part
        return line

    def _last_words(self) -> str:
        status = self.process.wait()
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        # Libraries may have something to say after the error.
        told = [line for line in said if ERROR.match(line)] or said
        return PLACE.sub(r"\1", told[-1])[:LONGEST] if told else f"exit status {status}"
