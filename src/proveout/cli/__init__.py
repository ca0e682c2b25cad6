"""The command line: options and help texts. The module that each command imports does the work.

Each command imports the heavy modules that it needs, so that `proveout --help` stays instant.
"""

import gc
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

for _setting in ("PLOOMBER_STATS_ENABLED", "ANONYMIZED_TELEMETRY"):
    os.environ.setdefault(_setting, "false")
for _setting in ("PLOOMBER_VERSION_CHECK_DISABLED", "DO_NOT_TRACK", "MARIMO_SKIP_UPDATE_CHECK", "HF_HUB_OFFLINE"):
    os.environ.setdefault(_setting, "1")

app = typer.Typer(
    rich_markup_mode=None,  # plain help: rich costs 0.4 s of CPU
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""From notebook to governed production and back.

    \b
    First steps:  proveout demo            run everything once on synthetic invoices
                  proveout status          show what is built, released and decided
                  proveout edit models     open a notebook on the pipeline's inputs
                  proveout new bills       create a mission of your own
                  proveout inspect FOLDER  show what would be misread in your documents
    The loop:     build, release promote, run, label, monitor, build
    """,
)
release_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="List, show, promote and roll back releases.")
app.add_typer(release_app, name="release")
report_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""List, show and verify the reports on file. People read and sign them on the server's pages: proveout review

    \b
    proveout report list                 which reports wait for a signature, and which are overdue
    proveout report verify --render      are all files unchanged, and does the journal give the same report again?
    """,
)
app.add_typer(report_app, name="report")
user_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""Manage accounts for people and tokens for programs. There is no default account.

    \b
    Each role includes the ones before it:
      reader     sees cases and reports
      reviewer   answers cases
      operator   submits cases and stops effects
    """,
)
app.add_typer(user_app, name="user")


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"proveout {version('proveout')}")
        raise typer.Exit


@app.callback()
def _before(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


Mission = Annotated[str, typer.Option("--mission", "-m", help="Name of a folder under pipelines/.", envvar="PROVEOUT_MISSION")]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Workspace: products, releases and journal [work/<mission>].", envvar="PROVEOUT_HOME"),
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of documents with a labels.csv, or of what the mission works on.")
]


def _workspace(mission: str, home: Path | None):  # type: ignore[no-untyped-def]
    from proveout.workspace import Workspace

    os.umask(0o077)  # what commands write in a workspace is for its user alone
    return Workspace.find(mission, home)


def _deciding(mission: str, home: Path | None):  # type: ignore[no-untyped-def]
    """The workspace. Restarts this process if the promoted release needs its own code."""
    from proveout.cli.own_code import continue_by_own_code

    space = _workspace(mission, home)
    continue_by_own_code(space)
    return space


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Folder of documents with a labels.csv, instead of synthetic ones.")] = None,
    documents: Annotated[int, typer.Option(help="Number of synthetic documents.", min=150)] = 900,
    seed: Annotated[int, typer.Option(help="Random seed of the synthetic documents.")] = 7,
    language_model: Annotated[
        bool, typer.Option("--language-model", help="Then let a small language model read cases that wait (`make lm`).")
    ] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Run everything once on synthetic invoices. Six steps: documents, build, promote, run on a dated stream of cases, monitor
    drift and bias, summary. A second run skips everything that is already done. With --mission catalog, the same for a product
    search, on a shop that is drawn.
    """
    from proveout.cli.demo import demo as run_demo

    run_demo(mission, data, documents, seed, home, language_model)


@app.command()
def synthesize(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    documents: Annotated[int, typer.Option(help="Number of documents.", min=1)] = 900,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    pitfalls: Annotated[str, typer.Option("--with", metavar="KINDS", help="Pitfalls, separated by commas, or `all`.")] = "",
    share: Annotated[float, typer.Option(help="Share of documents with a pitfall, at most 0.5.")] = 0.3,
) -> None:
    """Write synthetic invoices with a labels.csv. The documents are a dated stream with known drift and a known bias, described
    in truth.json.

    With pitfalls, a share of the documents are invoices that a machine may read otherwise than a person. labels.csv has what a
    person sees; its columns pitfall, variant, expected and because say what each document is and what should become of it.

    \b
    read as a person reads it:
      negative         credit notes: a minus of any kind before or behind, brackets, CR
      foreign-amounts  1'234.50, 1 234,56, 1.234,56, 12,34,567.00, 1.234 KWD, $.75
      foreign-dates    day first, year first, months written in nine languages
      foreign-names    advertisers in Greek and Cyrillic letters and with the accents of Central Europe
      form-values      an amount or a number as the value of a form field
      picture-values   the amount is a picture on a page with text
      wrong-letters    a text layer that says other letters than the page
      rotated          pages by quarter turns, as an entry of the file or as printed
      tilted-scans     scans that lean by seven degrees
      e-invoice        an invoice with the same terms attached as XML
    sent to a person:
      stamps           VOID, PAID, COPY and their like across the page
      hidden-text      another total in white, invisible, one point high; or outside the page, which is harmless
      covered-text     another total under a box or a picture
      two-in-one       a second invoice in the same file
      resaved          the document before it once more, with other bytes or a page more
      lying-e-invoice  XML that states another total, day, number or seller than the page
    """
    from proveout.corpus import synthetic
    from proveout.corpus.synthetic.pitfalls import chosen
    from proveout.progress import bar

    kinds = chosen(pitfalls)
    with bar("Generating documents", documents) as step:
        synthetic.generate(folder, documents=documents, seed=seed, pitfalls=kinds, pitfall_share=share, progress=step)
    print(f"Wrote {documents} documents to {folder}. Next: proveout build --data {folder}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Lowercase letters, digits and _, for example `bills`.")],
    flags: Annotated[
        bool, typer.Option("--flags", help="Start from yes/no flags on letters, not from the fields of bills.")
    ] = False,
    search: Annotated[bool, typer.Option("--search", help="Start a product search, on a shop that is drawn.")] = False,
) -> None:
    """Create a mission of your own under pipelines/. The new mission comes with example documents, builds successfully as
    generated, and is yours to edit. Fields are values printed on the document: names, amounts, dates, numbers. Flags are yes or
    no for the whole document: is it a complaint, is it urgent? A mission may have both. Its steps are the notebooks that ship
    with Proveout.

    \b
    proveout new bills             reads bills: reference, sender, total, due
    proveout new letters --flags   sorts letters: complaint, urgent, ends_contract
    proveout new shop --search     answers queries with products, or with no result
    """
    from proveout.cli import designing

    if flags and search:
        raise typer.BadParameter("a mission has flags on documents or is a search; give one of --flags and --search")
    designing.new(name, "search" if search else "flags" if flags else "questions")


@app.command()
def build(
    data: Data = None,
    only: Annotated[list[str] | None, typer.Option(help="Build this task and what it depends on. May be repeated.")] = None,
    force: Annotated[bool, typer.Option(help="Run every task, even if nothing changed.")] = False,
    record: Annotated[bool, typer.Option(help="Write an HTML record of each notebook that runs.")] = True,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Run the notebooks whose inputs changed, up to a new release. A step is stale when any of these changed: the code that
    leads to its products, a module that it imports, a parameter, a prompt, its data, or an upstream product. A changed chart
    rebuilds nothing. `proveout why TASK` names the cause.
    """
    from proveout.cli import designing

    designing.build(_workspace(mission, home), data, only, force, record)


@app.command()
def fine_tune(
    force: Annotated[bool, typer.Option(help="Train anew, even if nothing changed.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Fine-tune the local language model on your labels. Trains a LoRA adapter for the model in prompts/model.yaml on the
    documents of the last build's training split, merges both, and prints what to write in model.yaml to use the result. Minutes
    on a GPU, hours on a CPU (docs/language_model.md).
    """
    from proveout.cli import designing

    designing.fine_tune(_workspace(mission, home), force)


@app.command()
def why(task: str, data: Data = None, mission: Mission = "invoices", home: Home = None) -> None:
    """Explain in one line why a task is stale."""
    from proveout.cli import designing

    print(designing.why(_workspace(mission, home), task, data))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def edit(
    context: typer.Context,
    notebook: Annotated[str, typer.Argument(help="A step of a pipeline, for example `models`, `report` or `fine_tune`.")],
    failed: Annotated[bool, typer.Option("--failed", help="On the inputs of its last run, which failed.")] = False,
    data: Data = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Open a notebook in marimo on the pipeline's own inputs. With --failed, the step's last run has to have failed: it says
    where and why, and what changed since. Other options are passed on to marimo: proveout edit models --headless --port 2718
    """
    from proveout.cli import designing

    designing.edit(_workspace(mission, home), notebook, data, context.args, failed)


@app.command("open", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def open_case(
    context: typer.Context,
    case: Annotated[str, typer.Argument(help="A file, or the start of a case id.")],
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Open a decision as a notebook: its steps, on its own inputs. The cells read, recall, prompt, score, check, route and
    propose run by the release that decided it, with the memory of then; unchanged, they give the same decision bit for bit. The
    functions in them are the pipeline's: save an edited one, and the next `proveout build` puts it into a release. There you
    can also make the case a regression case, which every later release has to decide rightly. Further options are those of
    `marimo edit`.

    \b
    proveout open 3f9a
    """
    from proveout.cli import designing

    designing.open_case(_workspace(mission, home), case, context.args)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(
    context: typer.Context,
    marimo: Annotated[bool, typer.Option("--marimo", help="Open marimo on the notebooks' folder, not JupyterLab.")] = False,
    data: Data = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Open JupyterLab on the project. Begin with the tour notebooks/tours/first_steps.ipynb. A notebook or percent script that
    is a pipeline task opens with its parameters and paths, which are not saved with it. A marimo notebook opens as the
    read-only record of its last run (Open With, Notebook). Other options are passed on to JupyterLab or marimo:

    \b
    proveout lab --no-browser --port 8888
    proveout lab --marimo --headless
    """
    from proveout.cli import designing

    designing.lab(_workspace(mission, home), data, marimo, context.args)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def audit(context: typer.Context, mission: Mission = "invoices", home: Home = None) -> None:
    """Read doubtful labels again, to find wrong ones. A page opens in the browser and asks the labels that a model
    trained without them contradicts, and values drawn at random that show how often both are wrong alike. The answers go to
    audit.csv beside labels.csv; the next build uses them. Further options are those of `marimo run`.
    """
    from proveout.cli import designing

    designing.audit(_workspace(mission, home), context.args)


@app.command()
def plan(
    precision: Annotated[float | None, typer.Option(help="Instead of the mission's.", min=0.5, max=0.9999)] = None,
    confidence: Annotated[float | None, typer.Option(help="Instead of the mission's.", min=0.5, max=0.9999)] = None,
    minutes: Annotated[float, typer.Option(help="A person's time to label one document.", min=0)] = 1.0,
    to_label: Annotated[Path | None, typer.Option(help="Write a CSV of documents to label, ready to fill in.")] = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Say how many labels until a field is automated. Reads the last build's calibration and draws futures with more labels
    like those at hand. Try a stricter target before you promise it:

    \b
    proveout plan --precision 0.995
    proveout plan --to-label labels-to-fill-in.csv
    """
    from proveout.cli import planning

    planning.plan(_workspace(mission, home), precision, confidence, minutes, to_label)


@app.command()
def parity(
    tolerance: Annotated[float, typer.Option(help="Largest difference allowed between confidences.", min=0)] = 1e-9,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Check that notebook, pipeline, release and server agree. Decides the test cases four ways (in the notebook in
    marimo's kernel, the pipeline, the release, the server) and compares every value. If any differ, prints a table of them and
    exits with code 1. The build's products are not changed.
    """
    from proveout.cli import designing

    raise typer.Exit(0 if designing.parity(_workspace(mission, home), tolerance) else 1)


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder of PDFs, scans, images or texts.", exists=True, file_okay=False)],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report with pictures of the places.")] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the findings for programs; see docs/inspect.md.")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Draw the places for the report.")] = True,
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with code 1 if a file has an anomaly or is refused.")
    ] = False,
    mission: Annotated[
        str, typer.Option("--mission", "-m", help="Check that this mission reads documents, and use its cache.")
    ] = "",
) -> None:
    """Show what would be misread in a folder. Use it before anything acts: it needs no release and no build.
    For each file: text that is read but not visible, text that is visible but not read, stamps, garbled fonts, several
    documents in one file, files that cannot be read and why, contradictory formats of amounts and dates, copies, pages, words,
    and the share read by OCR. The worst files come first. `run` sends files with such an anomaly to a person.

    \b
    proveout inspect scans
    proveout inspect scans --html report.html          with pictures, opens offline
    proveout inspect scans --json findings.json        for programs
    proveout inspect scans --fail-on-anomaly || mail   in a script
    """
    from proveout.cli import inspecting

    has_anomaly = inspecting.inspect(folder, mission, html, json, pictures)
    raise typer.Exit(1 if has_anomaly and fail_on_anomaly else 0)


@app.command()
def run(
    inbox: Annotated[Path | None, typer.Option(help="Folder of new documents [<home>/inbox].")] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 if an effect needs a person.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Decide the new cases in the inbox. Uses the promoted release, and carries out the actions that the control plane allows.
    The same file is the same case, so a second run decides nothing twice. A machine with a signing key signs the journal then
    (see `proveout checkpoint`).
    """
    from proveout.cli import acting, proving

    space = _deciding(mission, home)
    summary = acting.run(space, inbox)
    proving.keep(space)
    if exit_code and (summary.get("dead_letters") or summary.get("stopped")):
        raise typer.Exit(3)


@app.command()
def extract(
    folder: Annotated[Path, typer.Argument(help="Folder of PDFs, scans, images or texts.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file: document -> field -> value, confidence, automated.")],
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Extract the fields of a folder of documents to JSON. Uses the promoted release. Nothing is written to the journal and no
    action is taken.
    """
    from proveout.cli import acting

    acting.extract(_deciding(mission, home), folder, out)


@app.command()
def show(
    document: Annotated[str, typer.Argument(help="A file, the start of a case id, or a query.")],
    again: Annotated[bool, typer.Option("--again", help="Decide it again with the promoted release.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Show a decision and the reasons for it. Lists the fields with their evidence, the checks, the route, the policy's verdict
    on each action, and the case's history. A decided case is shown as it was decided. A new document is decided now: nothing is
    recorded and no action is taken.
    """
    from proveout.cli import acting
    from proveout.cli.own_code import continue_by_own_code

    acting.show(_workspace(mission, home), document, again, continue_by_own_code)


@app.command()
def explain(
    case: Annotated[str, typer.Argument(help="A file, or the start of a case id.")],
    reader: Annotated[str, typer.Option("--for", metavar="WHOM", help="person, reviewer or auditor.")] = "person",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Explain a decision to whoever asks. To the person concerned in two sentences: what was decided and why, and what would
    have changed it, which is tried with the release's own rule. To a reviewer with the evidence for each value and its place on
    the page. To an auditor as the path of the decision, with the hashes of the input, the release, every step and every event.

    \b
    proveout explain 3f9a
    proveout explain 3f9a --for auditor
    """
    from proveout.cli import explaining

    explaining.explain(_workspace(mission, home), case, reader)


@app.command()
def lineage(
    what: Annotated[str, typer.Argument(help="A file, or the start of the id of a case or a training document.")],
    field: Annotated[str, typer.Option(help="Only this field of the decision.")] = "",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Say where a decision comes from, and where a document went. From a field back to the model, prompt, calibration and
    documents behind it; from a document or a wrong label on to the releases and decisions that used it.

    \b
    proveout lineage 3f9a --field total
    proveout lineage wrong-label.pdf
    """
    from proveout.cli import explaining

    explaining.lineage(_workspace(mission, home), what, field)


@app.command()
def replay(
    case: Annotated[str, typer.Argument(help="A case id, or the start of one.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every decision in the journal.")] = False,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Those made since this day (UTC).")] = None,
    read_again: Annotated[
        bool, typer.Option("--read-again", help="Read every file anew; otherwise kept text is used.")
    ] = False,
    release: Annotated[str, typer.Option(hidden=True)] = "",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Run recorded decisions again and compare. Each is decided by the release that made it, with the memory and the
    corrections of that time, offline, and has to be the same bit for bit; the first part that differs is named with its step.
    Nothing is recorded and no action is taken. Exits with 1 if a decision differs or cannot be run again.

    \b
    proveout replay 3f9a                              one case
    proveout replay --all                             everything
    proveout replay --since 2026-11-01 --read-again   also read the documents again
    """
    from proveout.cli import replaying

    day = since.date() if since else None
    if not replaying.replay(_workspace(mission, home), case, day, everything, read_again, release):
        raise typer.Exit(1)


@app.command()
def what_if(
    case: Annotated[str, typer.Argument(help="A case id, or the start of one.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every decision in the journal.")] = False,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Those made since this day (UTC).")] = None,
    precision: Annotated[float | None, typer.Option(help="Promise this precision, such as 0.99.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Promise it at this confidence, such as 0.9.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Judge the actions by this policy.cedar.", dir_okay=False)] = None,
    release: Annotated[str, typer.Option(help="Decide by this release: an id, the start of one, or `latest`.")] = "",
    changes: Annotated[
        list[str] | None, typer.Option("--with", metavar="NAME=VALUE", help="Change this, too; may repeat. See below.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every case that changes to this file.", dir_okay=False)] = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Decide recorded cases with one thing changed. Shows which cases would have gone another way, how many would have needed a
    person, what would have been spent, and, where people have labelled the cases, how many wrong values would have been
    automated. Nothing is recorded and no action is taken.

    \b
    proveout what-if --all --precision 0.99           a stricter promise
    proveout what-if --all --policy draft.cedar       another policy
    proveout what-if --all --with prompt=FOLDER       other prompts: phrases, or what a language model is asked
    proveout what-if --all --with tier=ranker,language_model
    proveout what-if --all --with steps=notebooks/invoices/decide.py
    proveout what-if --since 2026-11-01 --release latest --csv changes.csv
    """
    from proveout.cli.what_if import what_if as decide_again
    from proveout.cli.what_if import with_words
    from proveout.live.what_if import Change

    day = since.date() if since else None
    change = with_words(Change(release, precision, confidence, policy), changes or [])
    decide_again(_workspace(mission, home), case, day, everything, change, csv)


@app.command()
def monitor(
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 if there is an alarm.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Report drift, bias and performance of the live cases. Compares the live logs with the release's reference. Bias is
    reported by segment, performance as labels arrive. The report goes on file; people read and sign it on the server's pages.
    """
    from proveout.cli import watching

    alarm = watching.monitor(_workspace(mission, home))
    if exit_code and alarm:
        raise typer.Exit(3)


@app.command()
def export(
    file: Annotated[
        Path | None, typer.Argument(help="What to write: .parquet or .csv; a receipt: .json.", dir_okay=False)
    ] = None,
    receipt: Annotated[str | None, typer.Option(metavar="CASE", help="Write the receipt of one case instead.")] = None,
    mlflow: Annotated[str | None, typer.Option(metavar="URL", help="Write to an MLflow server instead.")] = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Write all decided cases as a table. One row a decision: release, day, segment, class, route, cost, and for each field its
    value, confidence, whether it was automated, a person's label and whether it was right (docs/log.md).

    With --receipt, write everything that happened to one case, with a signed proof that it stands in the journal. Anybody can
    check it without Proveout: docs/check_receipt.py.

    With --mlflow, releases become runs with their metrics, models and prompts, and decisions become traces, each once.
    """
    from proveout.cli import proving, watching

    space = _workspace(mission, home)
    if mlflow:
        watching.to_mlflow(space, mlflow)
    elif file is None:
        raise typer.BadParameter("name the file to write, or an MLflow server: --mlflow http://127.0.0.1:5000")
    elif receipt is None:
        watching.export(space, file)
    else:
        proving.receipt(space, receipt, file)


Witness = Annotated[
    list[Path] | None,
    typer.Option(help="A folder elsewhere with the checkpoints, too; may repeat.", file_okay=False, envvar="PROVEOUT_WITNESS"),
]


@app.command()
def checkpoint(
    new_key: Annotated[str | None, typer.Option(metavar="NAME", help="First make a signing key with this name.")] = None,
    witness: Witness = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Sign the journal as it is now. A signature over all events so far reveals a journal that was rewritten as a whole, cut
    off, or replaced by an older copy. `run` signs by itself once there is a key.

    The key lies in ~/.config/proveout/signing-key.pem, or where PROVEOUT_SIGNING_KEY says; never in the workspace. Keep the
    checkpoints also where nobody who can write the workspace can write them: --witness.
    """
    from proveout.cli import proving

    proving.checkpoint(_workspace(mission, home), new_key, witness or [])


@app.command()
def verify(
    key: Annotated[
        list[str] | None, typer.Option(help="A public key, or a file with some [this machine's]; may repeat.")
    ] = None,
    witness: Witness = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Check the journal, event by event. Says which event was changed, lost or invented, and whether the journal is the one
    that was signed at every checkpoint. Exits with 1 if not.
    """
    from proveout.cli import proving

    if not proving.verify(_workspace(mission, home), key or [], witness or []):
        raise typer.Exit(1)


@app.command()
def cost(
    by: Annotated[str, typer.Option(help="Group by route, tier, segment or class.")] = "route",
    volume: Annotated[int | None, typer.Option(help="Forecast for so many cases [as many as were decided].", min=1)] = None,
    minutes: Annotated[float, typer.Option(help="Of a person, for a case whose time was not measured.", min=0)] = 2.0,
    person: Annotated[float, typer.Option(help="Dollars an hour of a person.", min=0)] = 40.0,
    machine: Annotated[float, typer.Option(help="Dollars an hour of this machine.", min=0)] = 0.10,
    storage: Annotated[float, typer.Option(help="Dollars a gigabyte and year.", min=0)] = 0.28,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Say what a case costs, and what a number of cases will cost. Counts language models, computing, storage for a year, and
    people's time from opening a case on the review page until they answered it.

    \b
    proveout cost --by segment
    proveout cost --volume 100000 --person 55
    """
    from proveout.cli import costing
    from proveout.evaluation.costs import Prices

    costing.cost(_workspace(mission, home), Prices(person, machine, storage), minutes, by, volume)


@app.command()
def status(mission: Mission = "invoices", home: Home = None) -> None:
    """Show what is built, promoted, decided and waiting. Also verifies the journal and shows the service levels of the last 30
    days.
    """
    from proveout.cli import watching

    watching.status(_workspace(mission, home))


@app.command()
def schedule(
    run: Annotated[str, typer.Option(metavar="CRON", help="When to decide the inbox, or `never`.")] = "*/15 * * * *",
    monitor: Annotated[str, typer.Option(metavar="CRON", help="When to write the reports, or `never`.")] = "0 6 * * *",
    timezone: Annotated[str | None, typer.Option(help="Time zone, for example Europe/Berlin [the system's].")] = None,
    once: Annotated[bool, typer.Option("--once", help="For cron: run now, monitor if due, and exit.")] = False,
    history: Annotated[bool, typer.Option("--list", help="List past jobs: when, what, how long, the result.")] = False,
    last: Annotated[int, typer.Option(help="Number of lines of --list.", min=1)] = 20,
    timeout: Annotated[float, typer.Option(metavar="MINUTES", help="Stop a job that takes longer.", min=0.01)] = 120,
    database: Annotated[
        str, typer.Option(help="postgresql://... for the schedule's state [<home>/schedule.db].", envvar="PROVEOUT_DATABASE")
    ] = "",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Run `run` and `monitor` on a schedule until Ctrl-C. CRON is minute hour day month weekday. Jobs never overlap. Runs
    missed while the machine was off are made up for once, and a job that was killed is resumed at the next start. The output of
    the jobs goes to <home>/schedule.log.

    \b
    proveout schedule                                     every 15 minutes; reports at 06:00
    proveout schedule --run "0 8-18 * * mon-fri"          on the hour, in office hours
    proveout schedule --once                              from cron or a systemd timer
    """
    from proveout.cli import scheduling

    space, crons = _workspace(mission, home), {"run": run, "monitor": monitor}
    if history:
        scheduling.history(space, database, last)
    elif not scheduling.schedule(space, crons, timezone, database, timeout, once):
        raise typer.Exit(1)


@app.command()
def label(
    labels: Annotated[Path, typer.Argument(help="A labels.csv, or the folder that holds one.", exists=True)],
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only cases received until this day.")] = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Add people's answers to the journal. Answers arrive after the decisions and measure their precision. To answer cases one
    by one, use the review page: proveout review
    """
    from proveout.cli import watching

    watching.label(_workspace(mission, home), labels, until.date() if until else None)


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="JSON file written by `proveout extract`.", exists=True, dir_okay=False)],
    labels: Annotated[Path, typer.Argument(help="A labels.csv, or the folder that holds one.", exists=True)],
    split: Annotated[str | None, typer.Option(help="Only the rows of this split.")] = None,
    mission: Mission = "invoices",
) -> None:
    """Score a predictions file against labels. Prints precision, recall and F1, for all answers and for the automated ones."""
    from proveout.cli import watching

    watching.score(_workspace(mission, None), predictions, labels, split)


@app.command()
def stop(
    because: Annotated[str, typer.Argument(help="The reason, shown wherever the stop is reported.")] = "no reason was given",
    lift: Annotated[bool, typer.Option(help="Lift the stop: allow effects again.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Stop every side effect until `proveout stop --lift`. Takes effect immediately. Cases are still decided; the actions that
    are allowed meanwhile wait until the stop is lifted.
    """
    from proveout.cli import acting

    acting.stop(_workspace(mission, home), because, lift)


@app.command()
def restrict(
    because: Annotated[str, typer.Argument(help="The reason; whoever lifts the restriction reads it.")] = "",
    field: Annotated[str, typer.Option(help="Only cases that depend on this field [every field].")] = "",
    segment: Annotated[str, typer.Option(help="Only cases of this segment [every case].")] = "",
    at_least: Annotated[float | None, typer.Option(help="Only values with less confidence, such as 0.995.")] = None,
    lift: Annotated[str, typer.Option(metavar="ID", help="Lift a restriction.")] = "",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Send cases to a person until that is lifted. From the next run on, the agent does not act on these cases by itself; a
    reviewer approves what it proposes. Without a reason, lists what is in force. Each step is in the journal.

    \b
    proveout restrict "paid wrongly" --segment regional             every regional case goes to a person
    proveout restrict "drift" --field advertiser --at-least 0.995   a stricter threshold
    """
    from proveout.cli import acting

    acting.restrict(_workspace(mission, home), because, field, segment, at_least, lift)


@app.command()
def undo(
    case: Annotated[str, typer.Argument(help="A case id, or the start of one.")],
    action: Annotated[str, typer.Option(help="For example pay_invoice [every action of the case].")] = "",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Undo the actions of a case. Runs each action's compensation, if the policy allows it to you as an operator. An action
    that was already undone stays undone. A payment that was executed may be impossible to recall; the output then says so.
    """
    from proveout.cli import acting

    raise typer.Exit(0 if acting.undo(_workspace(mission, home), case, action) else 1)


@app.command()
def erase(
    case: Annotated[str, typer.Argument(help="A case id, or the start of one.")],
    reason: Annotated[str, typer.Option(help="Why. The journal keeps it, so name nothing there that is to be erased.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Erase the content of a case for ever. Its keys are destroyed and its files removed; the journal stays whole, and says who
    erased it, when and why. Says first what is removed, what learned from the case and stays, and what cannot be reached.
    """
    from proveout.cli import erasing

    raise typer.Exit(0 if erasing.erase(_workspace(mission, home), case, reason, yes) else 1)


@app.command()
def keys(
    rotate: Annotated[
        str | None, typer.Option(metavar="KEY", help="Wrap all keys with this master key: a file, hex digits, or a URL.")
    ] = None,
    encrypt: Annotated[bool, typer.Option("--encrypt", help="First encrypt a workspace that is not.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Show or rotate the master key of a workspace. It lies outside: in the file ~/.config/proveout/master-key, or where
    PROVEOUT_MASTER_KEY says (another file, the key in 64 hexadecimal digits, or the URL of a key service).
    """
    from proveout.cli import erasing

    erasing.keys(_workspace(mission, home), rotate, encrypt)


@app.command()
def effects(
    retry: Annotated[
        str, typer.Option(metavar="KEY", help="Retry a failed effect: its key or the start of its case id; or `all`.")
    ] = "",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """List the effects that have no outcome yet. An effect is pending, failed, unknown or dead. A failed effect is retried
    after 1, 5, 30 and 120 minutes; then it is a dead letter and waits for --retry. An `unknown` effect got no answer: before it
    is sent again, its connector checks whether it happened.
    """
    from proveout.cli import acting

    acting.effects(_workspace(mission, home), retry)


Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's addresses.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)]


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8321,
    root_path: Annotated[str, typer.Option(help="Path under which a proxy serves it, for example /proveout.")] = "",
    proxy: Annotated[str, typer.Option(help="Address of a proxy to trust for the client address and https.")] = "",
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Private key, for https.", exists=True, dir_okay=False)] = None,
    ssl_certfile: Annotated[Path | None, typer.Option(help="Certificate, for https.", exists=True, dir_okay=False)] = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Serve the API, the reports and the review page. Submitted documents are decided in the background. Every user needs an
    account. /api describes the API for people, /openapi.json for code generators.

    \b
    proveout user add ada --role operator
    proveout serve
    """
    from proveout.cli import acting

    space = _deciding(mission, home)
    acting.serve(space, host, port, root_path, proxy, (ssl_keyfile, ssl_certfile))


@app.command()
def review(
    host: Host = "127.0.0.1",
    port: Port = 8321,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Serve, and open the review page in a browser. To answer cases, sign in with an account that has the role reviewer or
    operator.
    """
    from proveout.cli import acting

    acting.serve(_deciding(mission, home), host, port, show="/review/" if browser else "")


@release_app.command("list")
def release_list(mission: Mission = "invoices", home: Home = None) -> None:
    """List every release. Shows its date, its scores, which one is promoted, and whether the installed code or libraries differ
    from that one.
    """
    from proveout.cli import releasing

    releasing.releases(_workspace(mission, home))


@release_app.command("show")
def release_show(
    release: Annotated[str, typer.Argument(help="A release id, or the start of one; `latest` for the newest.")] = "latest",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Show the parts and the history of a release. Also shows every file of weights with its source and hash, and how the
    installed code and libraries differ from those that it pins.
    """
    from proveout.cli import releasing

    releasing.release(_workspace(mission, home), release)


@release_app.command("promote")
def release_promote(
    release: Annotated[str, typer.Argument(help="A release id, or the start of one; `latest` for the newest.")] = "latest",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Promote without asking, even if it is worse.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Let a release decide from now on. If its evaluation shows less automation or less precision than that of the promoted
    release, the command shows the difference and asks first. Without a terminal, pass --yes.
    """
    from proveout.cli import releasing

    raise typer.Exit(0 if releasing.promote(_workspace(mission, home), release, yes) else 1)


@release_app.command("trial")
def release_trial(
    release: Annotated[str, typer.Argument(help="A release id, or the start of one; `latest` for the newest.")] = "latest",
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day [of the newest report's changes].")
    ] = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Try a release on the cases that changed. Compares it with the promoted one on the labelled cases since the change that
    neither learned from: how many values are right, and right without a person, with intervals. Nothing is decided anew. The
    trial is recorded; the exit code is 0 only if the release is better beyond chance.
    """
    from proveout.cli import releasing

    raise typer.Exit(0 if releasing.trial(_workspace(mission, home), release, since.date() if since else None) else 1)


@release_app.command("rollback")
def release_rollback(mission: Mission = "invoices", home: Home = None) -> None:
    """Return to the previously promoted release."""
    from proveout.cli import releasing

    releasing.rollback(_workspace(mission, home))


ReportId = Annotated[str, typer.Argument(help="A report id, or the start of one; `latest` for the newest.")]


@report_app.command("list")
def report_list(mission: Mission = "invoices", home: Home = None) -> None:
    """List every report. Shows its date, whether it is signed or until when it has to be, and its headline."""
    from proveout.cli import watching

    watching.list_reports(_workspace(mission, home))


@report_app.command("show")
def report_show(report: ReportId = "latest", mission: Mission = "invoices", home: Home = None) -> None:
    """Show the findings of a report. Lists what people concluded from each, and who signed."""
    from proveout.cli import watching

    watching.show_report(_workspace(mission, home), report)


@report_app.command("verify")
def report_verify(
    report: Annotated[str | None, typer.Argument(help="A report id, or the start of one [all reports].")] = None,
    render: Annotated[bool, typer.Option("--render", help="Also write each report again from the journal.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Check that reports are as they were filed. With --render, each report is computed again from the journal, as it was when
    the report was filed, and has to be the same to the byte. Exits with 1 if anything differs.
    """
    from proveout.cli import watching

    if not watching.verify_reports(_workspace(mission, home), report, render):
        raise typer.Exit(1)


Name = Annotated[str, typer.Argument(help="Up to 32 lowercase letters, digits, `.`, `_`, `-`.")]
Label = Annotated[str, typer.Argument(help="What the token is for, for example `mail-gateway`.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking for it twice.")
]


@user_app.command("add")
def user_add(
    name: Name,
    role: Annotated[str, typer.Option(help="reader, reviewer or operator.")],
    password_stdin: PasswordStdin = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Add an account. The command asks twice for a password of at least 12 characters and does not show it.

    \b
    proveout user add ada --role reviewer
    pass show proveout/ada | proveout user add ada --role reviewer --password-stdin
    """
    from proveout.cli import people

    people.add(_workspace(mission, home), name, role, password_stdin)


@user_app.command("list")
def user_list(mission: Mission = "invoices", home: Home = None) -> None:
    """List the accounts with their roles and token labels."""
    from proveout.cli import people

    people.show(_workspace(mission, home))


@user_app.command("remove")
def user_remove(name: Name, mission: Mission = "invoices", home: Home = None) -> None:
    """Remove an account, its sessions and its tokens. Takes effect immediately. The account's answers stay in the journal under
    its name.
    """
    from proveout.cli import people

    people.remove(_workspace(mission, home), name)


@user_app.command("password")
def user_password(name: Name, password_stdin: PasswordStdin = False, mission: Mission = "invoices", home: Home = None) -> None:
    """Set a new password. Ends every session of the account. Its tokens stay valid until they are revoked."""
    from proveout.cli import people

    people.password(_workspace(mission, home), name, password_stdin)


@user_app.command("token")
def user_token(name: Name, label: Label, mission: Mission = "invoices", home: Home = None) -> None:
    """Create a token for a program. The program acts for the account. The token is printed once, and only its hash is stored.

    \b
    TOKEN=$(proveout user token ada mail-gateway)
    curl -H "Authorization: Bearer $TOKEN" -F file=@invoice.pdf http://127.0.0.1:8321/api/v1/cases
    """
    from proveout.cli import people

    people.token(_workspace(mission, home), name, label)


@user_app.command("revoke")
def user_revoke(name: Name, label: Label, mission: Mission = "invoices", home: Home = None) -> None:
    """Revoke a token immediately."""
    from proveout.cli import people

    people.revoke(_workspace(mission, home), name, label)


def main() -> None:
    """Run the command line. A ProveoutError is printed as one message and ends with its exit code."""
    from proveout.errors import ProveoutError

    gc.set_threshold(50_000, 20, 20)  # imports create millions of objects that stay; the default costs a tenth of a command
    try:
        app()
    except ProveoutError as error:
        print(f"proveout: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        import errno

        where = error.filename or "while writing"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sys.exit(f"proveout: the disk is full ({where}); free some space and run the same command again")
        if error.errno in (errno.EACCES, errno.EROFS):
            sys.exit(f"proveout: {where}: {error.strerror}; change its permissions, or name another folder with --home")
        raise
    except KeyboardInterrupt:
        sys.exit(130)
