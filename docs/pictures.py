"""Take the README's pictures of the running project: `python docs/pictures.py [home]`, after `make demo`.

Needs Chromium. The workspace is copied first, so that nothing is answered and no account is left in yours.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
PICTURES = Path(__file__).parent / "pictures"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PASSWORD = "only for the picture"
PROGRAM = [sys.executable, "-m", "proveout"]
LOOP = """<body style="margin:0;background:white;font:15px/1.4 system-ui,sans-serif;color:#1f2937">
<svg viewBox="0 0 1000 330" width="1000" height="330" xmlns="http://www.w3.org/2000/svg">
<style>rect{{fill:#f5f7fa;stroke:#9aa5b1;rx:8}} .h{{font-weight:650}} .s{{font-size:12.5px;fill:#52606d}}
path{{fill:none;stroke:#52606d;stroke-width:1.6;marker-end:url(#a)}}</style>
<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 8 4 0 8Z" style="fill:#52606d;stroke:none"/></marker></defs>
{boxes}
<path d="M190 75H232"/><path d="M402 75H444"/><path d="M614 75H656"/><path d="M826 75H880V213"/>
<path d="M790 258H732"/><path d="M560 258H502"/><path d="M330 258H105V120"/>
<text class="s" x="112" y="205">labels teach the next build</text>
</svg></body>"""


def box(x: int, y: int, title: str, *lines: str) -> str:
    said = "".join(f'<text class="s" x="{x + 14}" y="{y + 48 + 19 * n}">{line}</text>' for n, line in enumerate(lines))
    return f'<rect x="{x}" y="{y}" width="170" height="86"/><text class="h" x="{x + 14}" y="{y + 26}">{title}</text>{said}'


def proveout(home: Path, *words: str, said: str = "") -> str:
    environment = os.environ | {"PROVEOUT_HOME": str(home)}
    run = subprocess.run([*PROGRAM, *words], cwd=ROOT, env=environment, input=said, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return run.stdout


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def opened(page: Page, home: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a command that serves, and go there when it answers."""
    port = free_port()
    environment = os.environ | {"PROVEOUT_HOME": str(home)}
    quiet = subprocess.DEVNULL
    command = [*PROGRAM, *words, "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet)
    for _ in range(600):
        try:
            page.goto(f"http://127.0.0.1:{port}/")
            return process
        except Exception:
            if process.poll() is not None:
                sys.exit(f"{' '.join(words)} did not start")
            time.sleep(0.2)
    sys.exit(f"{' '.join(words)} did not answer")


def the_loop(page: Page, home: Path) -> None:
    from proveout.journal import Journal
    from proveout.release import Releases
    from proveout.review import waiting

    with Journal(home / "journal.db") as journal:
        decided, answered, asked = len(list(journal.decisions())), len(journal.answers()), len(waiting(journal))
    release = Releases(home / "releases").current()[:12]
    boxes = [
        box(20, 32, "notebooks", "design: prompts,", "retrieval, models"),
        box(232, 32, "pipeline", "the same files,", "only what is stale"),
        box(444, 32, "release", release, "one content id"),
        box(656, 32, "agent", "acts as far as the", "evidence allows"),
        box(790, 215, "journal", f"{decided} cases decided,", "hash-chained"),
        box(560, 215, "reports", "drift, bias,", "performance"),
        box(330, 215, "reviews", f"{answered} answered,", f"{asked} wait for a person"),
    ]
    page.set_viewport_size({"width": 1000, "height": 330})
    page.set_content(LOOP.format(boxes="".join(boxes)))
    page.screenshot(path=PICTURES / "loop.png")


def a_notebook(page: Page, home: Path) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    editor = opened(page, home, "edit", "calibrate", "--headless", "--no-token")
    try:
        page.locator("h1", has_text="Calibration").wait_for(timeout=180_000)
        page.locator(".output-area img").nth(1).wait_for(timeout=180_000)  # the last cells
        page.wait_for_timeout(4_000)
        without_frame = {"x": 96, "y": 96, "width": 1100, "height": 760}  # and without the path of the file
        page.screenshot(path=PICTURES / "notebook.png", clip=without_frame)
    finally:
        editor.terminate()


def the_report(page: Page, home: Path) -> None:
    server = signed_in(page, home, "/reports")
    try:
        page.set_viewport_size({"width": 1440, "height": 900})
        page.locator("tbody a").first.click()
        page.locator("#findings").wait_for()
        page.screenshot(path=PICTURES / "report.png")
    finally:
        server.terminate()


def the_review(page: Page, home: Path) -> None:
    server = signed_in(page, home, "/review/")
    try:
        page.locator("#approve").wait_for(timeout=120_000)
        page.locator("#order").select_option("doubt")  # a case with something to answer
        page.locator(".field.active").wait_for()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=PICTURES / "review.png")
    finally:
        server.terminate()


def the_review_on_a_phone(page: Page, home: Path) -> None:
    phone = page.context.browser.new_context(has_touch=True, is_mobile=True, color_scheme="dark").new_page()
    server = signed_in(phone, home, "/review/")
    try:
        phone.set_viewport_size({"width": 390, "height": 844})
        phone.locator("#order").select_option("doubt")
        phone.locator(".field.active").wait_for()
        phone.wait_for_load_state("networkidle")
        phone.screenshot(path=PICTURES / "review_phone.png")
    finally:
        server.terminate()


def signed_in(page: Page, home: Path, path: str) -> subprocess.Popen[bytes]:
    """Start the server and open one of its pages as a reviewer."""
    if not (home / "accounts.db").exists():
        proveout(home, "user", "add", "ada", "--role", "reviewer", "--password-stdin", said=f"{PASSWORD}\n")
    page.set_viewport_size({"width": 1280, "height": 900})
    server = opened(page, home, "serve")
    page.goto(page.url.replace("/login?next=/", f"/login?next={path}"))
    page.locator("#account:focus").wait_for()
    for typed, key in (("ada", "Tab"), (PASSWORD, "Enter")):
        page.keyboard.type(typed)
        page.keyboard.press(key)
    page.wait_for_url(lambda url: "/login" not in url)
    return server


def what_inspect_finds(page: Page, home: Path) -> None:
    """One picture of the report for each invoice that is drawn here."""
    folder = home / "suspicious"
    folder.mkdir()
    names = [*suspicious_invoices(folder), lying_e_invoice(folder)]
    proveout(home, "inspect", str(folder), "--html", str(home / "inspect.html"))
    page.set_viewport_size({"width": 460, "height": 900})
    page.goto((home / "inspect.html").as_uri())
    for name in names:
        page.locator("article", has=page.locator("h3", has_text=name)).first.screenshot(path=PICTURES / f"inspect_{name}.png")


def suspicious_invoices(folder: Path) -> list[str]:
    """Draw invoices of one page that a machine reads otherwise than a person, and return their names."""
    from PIL import Image
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    def invoice(name: str, supplier: str, number: str, net: str, tax: str, total: str) -> Canvas:
        canvas = Canvas(str(folder / f"{name}.pdf"), pagesize=(420, 300), invariant=1)
        canvas.setFont("Helvetica-Bold", 15)
        canvas.drawString(40, 255, supplier)
        canvas.setFont("Helvetica", 11)
        for row, (left, right) in enumerate([("Invoice", number), ("Net", net), ("Tax", tax)]):
            canvas.drawString(40, 215 - 22 * row, left)
            canvas.drawRightString(300, 215 - 22 * row, right)
        canvas.setFont("Helvetica-Bold", 12)
        canvas.drawString(40, 140, "Total due")
        canvas.drawRightString(300, 140, total)
        canvas.setFont("Helvetica", 12)
        return canvas

    white = invoice("white", "Harbor Paper Ltd", "4711-2", "1,062.50", "187.50", "$1,250.00")
    white.setFillGray(1)
    white.drawString(40, 110, "Total due $9,250.00")
    white.save()
    covered = invoice("covered", "Northwind Print", "88-104", "350.00", "66.50", "$416.50")
    covered.drawRightString(300, 100, "$9,250.00")
    covered.drawImage(ImageReader(Image.new("RGB", (8, 8), "#e8edf4")), 200, 90, 140, 28)
    covered.save()
    stamp = invoice("stamp", "Elm Street Studio", "2026/17", "90.00", "17.10", "$107.10")
    stamp.saveState()
    stamp.translate(190, 130)
    stamp.rotate(24)
    stamp.setFillColorRGB(0.75, 0.1, 0.1, 0.45)
    stamp.setFont("Helvetica-Bold", 60)
    stamp.drawCentredString(0, 0, "VOID")
    stamp.restoreState()
    stamp.save()
    return ["white", "covered", "stamp"]


def lying_e_invoice(folder: Path) -> str:
    """Draw an invoice whose attached XML states another total, as `proveout synthesize --with lying-e-invoice` does."""
    from proveout.corpus import synthetic
    from proveout.corpus.synthetic.business import Market

    never = dict.fromkeys(("new_suppliers", "amount_shift", "worse_segment", "new_layouts"))
    data, _ = synthetic.document(1, 2, 5, never, Market(5), pitfalls=["lying-e-invoice"], pitfall_share=0.5)
    (folder / "lying.pdf").write_bytes(data)
    return "lying"


if __name__ == "__main__":
    if CHROMIUM is None:
        sys.exit("needs Chromium; on Debian: apt-get install chromium")
    theirs = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "work" / "demo").resolve()
    if not (theirs / "reports" / "report.html").exists():
        sys.exit(f"{theirs}: no report there; make one first: make demo")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="proveout-") as folder, sync_playwright() as playwright:
        mine = Path(shutil.copytree(theirs, Path(folder) / "home"))
        (mine / "accounts.db").unlink(missing_ok=True)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for take in (the_loop, a_notebook, the_report, the_review, the_review_on_a_phone, what_inspect_finds):
            take(browser.new_page(), mine)
        browser.close()
