"""Signs in through an issuer in Chromium, and out. `CHROMIUM` names the browser."""

import os
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def look(page, what):
    found = Axe().run(page, options=RULES).response["violations"]
    bad = [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")]
    assert not bad, f"{what}: {bad}"


def main(address, issuer):
    # Other tests run beside this one; how soon something is there is not what is tested.
    expect.set_options(timeout=30_000)
    wrong = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        # Signing in needs no script. Axe does, so that one more visitor with script looks at the pages.
        for script in (False, True):
            context = browser.new_context(java_script_enabled=script)
            page = context.new_page()
            page.on("console", lambda m: m.type == "error" and wrong.append(m.text))
            page.goto(f"{address}/models")
            assert "/sign-in?to=" in page.url, page.url
            if script:
                look(page, "sign-in")
            page.get_by_role("link", name="Sign in with").click()
            expect(page.get_by_role("heading", name="Models")).to_be_visible()
            assert page.url == f"{address}/models", page.url
            [kept] = context.cookies()
            assert (kept["name"], kept["sameSite"], kept["httpOnly"]) == ("disinherit_token", "Strict", True), kept
            page.get_by_role("button", name="Sign out").click()
            out = page.get_by_role("link", name="too")
            assert out.get_attribute("href").startswith(f"{issuer}/leave?"), out.get_attribute("href")
            if script:
                look(page, "signed out")
            assert context.cookies() == [], context.cookies()
            page.goto(f"{address}/sign-in/callback?code=x&state=x")
            expect(page.get_by_role("heading", name="Not signed in")).to_be_visible()
            if script:
                look(page, "not signed in")
            context.close()
        browser.close()
    # The last page is answered with 400, which the console says.
    wrong = [text for text in wrong if "400" not in text]
    assert not wrong, wrong


main(*sys.argv[1:])
