"""Takes the pictures of docs/studio.md: the pages by day, by night and on a phone.

    python demo/studio_pictures.py http://localhost:8643 --out docs/studio

Studio must run there, with a registered voice, a finished book and a finished dub, and with a book
that is being made.
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

BOOK = Path(__file__).with_name("book.epub")
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}


def make(page: Page) -> None:
    page.goto("/")
    page.set_input_files("#book-file", BOOK)
    page.wait_for_selector("#book")
    page.locator('[name="voice"][value^="name:"]').first.check()
    page.get_by_role("checkbox", name="MP3").check()
    page.locator("#spoken:not(:empty)").wait_for()
    page.evaluate("scrollTo(0, 0)")


def watch(page: Page) -> None:
    page.goto("/watch")
    page.wait_for_timeout(1500)


def finished(page: Page, kind: str) -> str:
    """The id of the book or the dub that was finished last."""
    jobs = [one for one in page.request.get("/api/jobs").json() if one["kind"] == kind]
    return str(max(jobs, key=lambda job: job["finished"] or 0)["id"])


def listen(page: Page) -> None:
    page.goto(f"/listen/{finished(page, 'book')}")
    sentence = page.locator(".sentence").nth(3)
    sentence.click()
    page.locator(".takes").wait_for(timeout=120_000)
    if page.viewport_size and page.viewport_size["width"] < 600:
        page.click("#close-line")
    page.evaluate("audio.muted = true")
    page.click("#play")
    page.wait_for_timeout(1500)
    page.locator(".sentence .now").first.wait_for()


def dub(page: Page) -> None:
    page.goto(f"/listen/{finished(page, 'dub')}")
    page.evaluate("audio.muted = true")
    page.locator("[data-seek]").nth(2).click()
    page.locator("#cues li.now").wait_for()
    page.wait_for_timeout(1500)
    page.evaluate("audio.pause(); scrollTo(0, 0)")
    page.wait_for_timeout(500)


def take(page: Page) -> None:
    page.goto(f"/take/{finished(page, 'book')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--out", type=Path, default=Path("docs/studio"))
    parser.add_argument("--language", default="en")
    asked = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for look, settings in LOOKS.items():
            context = browser.new_context(base_url=asked.address, locale=asked.language, **settings)
            for show in (watch, make, listen, dub, take):
                page = context.new_page()
                show(page)
                page.screenshot(path=asked.out / f"{show.__name__}-{look}.png")
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
