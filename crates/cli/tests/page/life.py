"""The page in Chromium: a request's whole life by clicking, and what every page owes to those who read it.

    python life.py ADDRESS TOKEN BEGUN [--pictures FOLDER]

ADDRESS and TOKEN are of a `serve --demo`; BEGUN is the time (in seconds since 1970) at which that was started.
`--pictures` writes the pictures of docs/serve.md (and needs Pillow). Any finding ends with an error.
"""

import argparse
import json
import os
import re
import tempfile
import time
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

DESKTOP = {"width": 1200, "height": 820}
PHONE = {"width": 375, "height": 740}

# From the command line to a certificate, by somebody who clicks: what docs/serve.md promises, in seconds.
PROMISED = 180

# What WCAG 2.2 added is off in axe unless it is asked for.
RULES = {"rules": {"target-size": {"enabled": True}}}

POLICY = "default-src 'none'"


class Visitor:
    """A browser that notes whatever a page does wrong."""

    def __init__(self, page, address, pictures):
        self.page, self.address, self.pictures = page, address, pictures
        self.wrong = []
        self.seen = []
        self.expected = set()
        page.on("console", lambda m: m.type in ("error", "warning") and self.say(f"console: {m.text}"))
        page.on("pageerror", lambda error: self.say(f"script: {error}"))
        page.on("requestfailed", self.failed)
        page.on("request", lambda r: r.url.startswith(address) or self.say(f"a request to {r.url}"))
        page.on("response", self.answered)

    def say(self, what):
        if not any(known in what for known in self.expected):
            self.wrong.append(f"{self.page.url}: {what}")

    def failed(self, request):
        # A download is taken over by the browser, and a page that is left ends its own calls.
        if "ERR_ABORTED" not in (request.failure or ""):
            self.say(f"failed: {request.url}: {request.failure}")

    def answered(self, response):
        if response.status >= 400:
            self.say(f"{response.status} for {response.url}")
        if not response.headers.get("content-security-policy", "").startswith(POLICY):
            self.say(f"no policy on {response.url}")

    def goto(self, path):
        self.page.goto(self.address + path)

    def click(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def look(self, what):
        """Axe on the page in light, in dark and on a phone."""
        for scheme, size in (("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE)):
            self.page.emulate_media(color_scheme=scheme)
            self.page.set_viewport_size(size)
            found = Axe().run(self.page, options=RULES).response["violations"]
            bad = [rule for rule in found if rule["impact"] in ("serious", "critical")]
            for rule in bad:
                places = [" ".join(map(str, node["target"])) for node in rule["nodes"][:3]]
                self.wrong.append(f"{what} ({scheme}, {size['width']}): {rule['id']}: {rule['help']}: {places}")
            wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wide > 0:
                self.wrong.append(f"{what} ({scheme}, {size['width']}): wider than the screen by {wide} px")
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size(DESKTOP)
        self.seen.append(what)

    def picture(self, name, whole=False, scheme="light", size=DESKTOP):
        if self.pictures:
            self.page.emulate_media(color_scheme=scheme)
            self.page.set_viewport_size(size)
            self.page.evaluate("scrollTo(0, 0)")
            file = self.pictures / f"{name}.png"
            self.page.screenshot(path=file, full_page=whole)
            self.page.emulate_media(color_scheme="light")
            self.page.set_viewport_size(DESKTOP)
            smaller(file)

    def tab_to(self, name):
        """Goes to what has this name with the keyboard alone."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            named = self.page.evaluate(
                "(e => e.labels?.[0]?.textContent || e.getAttribute('aria-label') || e.textContent)(document.activeElement)"
            )
            if named.strip() == name:
                return
        raise AssertionError(f"the keyboard does not reach `{name}`")


def smaller(file):
    from PIL import Image

    image = Image.open(file).convert("RGB")
    image.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


def sign_in(visitor, token):
    """With the keyboard alone."""
    visitor.goto("/")
    assert visitor.page.url.endswith("/sign-in"), visitor.page.url
    visitor.look("sign-in")
    visitor.tab_to("Token")
    visitor.page.keyboard.type(token)
    visitor.page.keyboard.press("Enter")
    expect(visitor.page.get_by_role("heading", name="Erasure requests")).to_be_visible()
    visitor.look("no requests")


def file_request(visitor):
    """With the keyboard alone: whom it touches is shown first."""
    page, keys = visitor.page, visitor.page.keyboard
    visitor.tab_to("New request")
    keys.press("Enter")
    page.wait_for_url("**/new")
    visitor.look("form")
    visitor.tab_to("Which")
    keys.type("3")
    visitor.tab_to("Who asked")
    keys.type("subject-8f3a")
    visitor.tab_to("Legal basis")
    keys.type("GDPR Art. 17(1)(b)")
    visitor.tab_to("Show whom it touches")
    keys.press("Enter")
    expect(page.get_by_text("Nothing is filed yet")).to_be_visible()
    expect(page.locator("svg a, svg g.node").first).to_be_visible()
    visitor.look("preview")
    visitor.picture("serve-preview")
    visitor.tab_to("File it")
    keys.press("Enter")
    page.wait_for_url(re.compile("/requests/1(#scope)?$"))


def take_steps(visitor, begun):
    """Until the certificate is there; returns it, and how long that took."""
    page = visitor.page
    visitor.click("Plan it")
    visitor.look("planned")
    visitor.click("Approve it")
    visitor.click("Run it")
    expect(page.get_by_role("status").filter(has_text="run:")).to_be_visible()
    # The page reads itself again, and who is disturbed by that can stop it.
    for path, again in (("/requests/1", True), ("/requests/1?still=true", False)):
        answer = page.request.get(visitor.address + path)
        assert ("refresh" in answer.headers) == again, (path, answer.headers)
    verify = page.get_by_role("button", name="Verify it")
    expect(verify).to_be_visible(timeout=60_000)
    verify.click()
    sign = page.get_by_role("button", name="Sign the certificate")
    expect(sign).to_be_visible(timeout=60_000)
    sign.click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Certificate").click()
    envelope = json.loads(Path(download.value.path()).read_text())
    assert envelope["payloadType"] == "application/vnd.in-toto+json" and envelope["signatures"], envelope
    return time.time() - begun


def finish(visitor):
    visitor.picture("serve-request")
    visitor.look("certified")
    visitor.click("Purge what remembers")
    visitor.click("Close it")
    expect(visitor.page.locator(".state").first).to_contain_text("closed")
    visitor.look("closed")
    visitor.page.locator("svg a").first.click()
    expect(visitor.page.get_by_text("The ways of inheritance")).to_be_visible()
    visitor.look("focus")


def read_the_rest(visitor):
    page = visitor.page
    visitor.goto("/requests/1/report")
    for words in ("What it cannot reach", "Data touched", "What was deleted", "Signature", "The chain of hashes is whole"):
        expect(page.get_by_text(words).first).to_be_visible()
    visitor.look("report")
    visitor.picture("serve-report", whole=False)
    with page.expect_download() as download:
        page.get_by_role("link", name="As a file").click()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        download.value.save_as(file)
        alone(visitor, file)
    visitor.goto("/?state=all&newest=true")
    expect(page.get_by_text("subject-8f3a")).to_be_visible()
    visitor.look("requests")
    page.get_by_role("link", name="Models", exact=True).click()
    visitor.look("models")
    visitor.picture("serve-models")
    page.get_by_label("Name").fill("r1")
    visitor.click("Show")
    page.get_by_role("link", name="r1@2", exact=True).click()
    expect(page.get_by_role("heading", name="Lineage")).to_be_visible()
    expect(page.get_by_role("link", name="Request 1").first).to_be_visible()
    visitor.look("model")
    visitor.picture("serve-model")
    page.get_by_role("link", name="Log", exact=True).click()
    visitor.look("log")
    page.get_by_role("link", name="API", exact=True).click()
    page.get_by_role("link", name="POST /requests/{id}/plan", exact=True).click()
    plan = page.get_by_role("region", name="POST /api/v1/requests/{id}/plan")
    expect(plan).to_be_in_viewport()
    expect(plan).to_contain_text("For the roles operator, admin.")
    expect(plan.locator("pre")).to_contain_text('"$DESK/api/v1/requests/1/plan"')
    plan.get_by_role("link", name="PlanBody").click()
    expect(page.get_by_role("region", name="PlanBody")).to_contain_text("accept_loss")
    visitor.look("api")
    page.get_by_role("link", name="Settings", exact=True).click()
    page.get_by_text("New token").click()
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Role").select_option("approver")
    visitor.click("Make it")
    secret = page.locator("code.secret").inner_text()
    assert re.fullmatch(r"disinherit_[0-9a-f]{64}", secret), secret
    visitor.look("settings")
    page.get_by_role("link", name="Settings", exact=True).click()
    assert secret not in page.content()
    page.get_by_role("button", name=re.compile("Revoke token .* of ann")).click()
    expect(page.get_by_text("revoked")).to_be_visible()
    visitor.click("Turn it on")
    expect(page.get_by_text("cannot approve it")).to_be_visible()
    visitor.expected = {"502"}
    page.get_by_text("New webhook").click()
    page.get_by_label("Address").fill("http://127.0.0.1:9/hook")
    page.get_by_label("closed").check()
    visitor.click("Add it")
    assert re.fullmatch(r"whsec_[0-9A-Za-z+/=]{44}", page.locator("code.secret").inner_text())
    page.get_by_text("New webhook").click()
    visitor.look("webhook")
    visitor.click("Try webhook 1")
    expect(page.get_by_role("alert")).to_contain_text("has not arrived")
    visitor.click("Pause webhook 1")
    expect(page.get_by_text("paused since")).to_be_visible()
    visitor.click("Resume webhook 1")
    visitor.click("Remove webhook 1")
    expect(page.get_by_role("button", name="Remove webhook 1")).to_have_count(0)
    visitor.expected = {"404"}
    visitor.goto("/requests/99")
    visitor.look("problem")
    visitor.expected = set()


def alone(visitor, file):
    """The report as a file shows everything without the server."""
    page = visitor.page.context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    expect(page.get_by_role("heading", name="Report on erasure request 1")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none"
    assert asked == [file.as_uri()], asked
    pdf = page.pdf(format="A4", print_background=True)
    assert pdf.startswith(b"%PDF"), pdf[:20]
    page.close()


def without_script(browser, address, token):
    """Everything can be read where no script runs."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + "/sign-in")
    page.fill("#token", token)
    page.click("button.main")
    page.goto(address + "/requests/1")
    assert page.locator("svg .node").count() >= 4
    context.close()


def main():
    # Other tests run beside this one; how soon something is there is not what is tested.
    expect.set_options(timeout=30_000)
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("token")
    parser.add_argument("begun", type=float)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=os.environ["CHROMIUM"],
            headless=True,
            args=FLAGS,
            viewport=DESKTOP,
            accept_downloads=True,
        )
        visitor = Visitor(browser.new_page(), given.address, given.pictures)
        sign_in(visitor, given.token)
        file_request(visitor)
        certified = take_steps(visitor, given.begun)
        finish(visitor)
        read_the_rest(visitor)
        browser.close()
        other = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=FLAGS)
        without_script(other, given.address, given.token)
        other.close()
    assert not visitor.wrong, "\n".join(visitor.wrong)
    assert certified < PROMISED, f"the certificate took {certified:.0f} s"
    print(f"certificate after {certified:.1f} s; {len(visitor.seen)} pages in light, dark and on a phone")


main()
