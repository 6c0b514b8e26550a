"""A page in a real browser, without a driver or a network: what it shows at some widths, and its complaints."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Runs when every frame has loaded, and leaves what it saw in the page's own text.
LOOK = """
addEventListener("load", () => {
  const seen = [...document.querySelectorAll("iframe")].map((frame) => {
    const inside = frame.contentDocument, root = inside.documentElement;
    return {
      width: root.clientWidth, scrolled: root.scrollWidth,
      requests: frame.contentWindow.performance.getEntriesByType("resource").map((entry) => entry.name)
        .filter((name) => !name.startsWith("data:")),
      images: [...inside.images].map((image) => ({
        alt: image.alt, loaded: image.complete && image.naturalWidth > 0 && image.naturalHeight > 0,
        width: image.getBoundingClientRect().width, source: image.currentSrc,
      })),
      background: frame.contentWindow.getComputedStyle(inside.body).backgroundColor,
      text: inside.body.innerText.length,
    };
  });
  document.body.textContent = "SEEN" + JSON.stringify(seen) + "NEES";
});
"""


@dataclass(frozen=True)
class Look:
    """What was seen of a page at each width, and the lines of the browser's console."""

    frames: list[dict[str, Any]]
    console: list[str]


def chromium() -> str:
    """The program's path; a visible skip where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on PATH to look at the pages with: apt-get install chromium")
    return found


def look(page: Path, folder: Path, *, widths: tuple[int, ...] = (1280, 390), dark: bool = False) -> Look:
    """Open the page in frames of these widths, with the network unreachable."""
    program = chromium()
    inside = html.escape(page.read_text("utf-8"))
    frames = "".join(
        f'<iframe srcdoc="{inside}" style="border:0;width:{width}px;height:900px"></iframe>' for width in widths
    )
    outer = folder / "look.html"
    outer.write_text(f"<!DOCTYPE html><meta charset=utf-8><script>{LOOK}</script><body>{frames}", "utf-8")
    done = subprocess.run(
        [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--enable-logging=stderr",
            "--window-size=1400,1000",
            "--dump-dom",
            outer.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    answer = re.search(r"SEEN(\[.*\])NEES", done.stdout, re.DOTALL)
    assert answer is not None, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Look(json.loads(html.unescape(answer[1])), console)
