"""Takes a picture of Prefect's page with headless Chromium: `python -m benchmarks.screenshot`.

Needs playwright and a Chromium; the password is read from PREFECT_API_AUTH_STRING.
"""

import argparse
import base64
import os
from pathlib import Path

from playwright.sync_api import sync_playwright


def shoot(url: str, path: str, click: str, auth: str, target: Path, chromium: str) -> None:
    """Logs in and keeps a picture of a page, or of what is there after a click on a word."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        # The page keeps the password where its own login form would have put it.
        encoded = base64.b64encode(auth.encode()).decode()
        page.add_init_script(f"localStorage.setItem('prefect-password', '{encoded}')")
        page.goto(f"{url}{path}", timeout=90_000)
        page.wait_for_load_state("networkidle", timeout=90_000)
        if click:
            page.get_by_text(click, exact=True).first.click()
        page.wait_for_timeout(5000)
        page.screenshot(path=target, full_page=True)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", help="such as /dashboard or /runs")
    parser.add_argument("target", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--click", default="", help="such as Artifacts")
    given = parser.parse_args()
    url = os.environ["PREFECT_API_URL"].removesuffix("/api")
    auth = os.environ["PREFECT_API_AUTH_STRING"]
    shoot(url, given.page, given.click, auth, given.target, given.chromium)


if __name__ == "__main__":
    main()
