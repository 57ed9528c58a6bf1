"""The README's picture of a report: `python -m benchmarks.pages.picture report/index.html`. Needs a Chromium."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).parents[2] / "docs" / "report.png"
WIDTH, HEIGHT = 1180, 1150  # pixels: the predictions, and the head of the leaderboard


def main(page_file: Path) -> None:
    """Write OUT."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        context = browser.new_context(viewport={"width": WIDTH, "height": 900}, color_scheme="light", offline=True)
        page = context.new_page()
        page.goto(page_file.resolve().as_uri())
        page.wait_for_selector("html[data-charts=drawn]", timeout=120_000)
        page.wait_for_timeout(500)  # until the pictures are decoded
        first, second = (page.locator(f"#{name}").bounding_box() for name in ("predictions", "leaderboard"))
        assert first and second
        end = min(first["y"] + HEIGHT, second["y"] + second["height"])
        clip = {"x": 0, "y": first["y"], "width": WIDTH, "height": end - first["y"]}
        page.screenshot(path=OUT, full_page=True, clip=clip)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
