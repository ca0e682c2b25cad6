"""The command line. Each command teaches itself; what it does stands in the module that it names.

Heavy modules are imported by the command that needs them, so that `proveout --help` answers at once.
"""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

for _quiet in ("PLOOMBER_STATS_ENABLED", "ANONYMIZED_TELEMETRY"):
    os.environ.setdefault(_quiet, "false")
for _quiet in ("PLOOMBER_VERSION_CHECK_DISABLED", "DO_NOT_TRACK", "MARIMO_SKIP_UPDATE_CHECK", "HF_HUB_OFFLINE"):
    os.environ.setdefault(_quiet, "1")

app = typer.Typer(
    rich_markup_mode=None,  # plain help: rich costs 0.4 s of CPU
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""From notebook to governed production and back.

    \b
    First steps:  proveout demo            everything once, on synthetic invoices
                  proveout status          what is built, released, decided
                  proveout edit models     a notebook on the pipeline's own inputs
                  proveout new bills       a mission of your own, which builds at once
    The loop:     build, release promote, run, label, monitor, build
    """,
)
release_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="List, promote and roll back releases.")
app.add_typer(release_app, name="release")
user_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""Who may come in: accounts of people, tokens of programs. Nobody has one by default.

    \b
    A role includes the ones before it:
      reader     sees cases and reports
      reviewer   answers
      operator   submits cases, stops effects
    """,
)
app.add_typer(user_app, name="user")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"proveout {version('proveout')}")
        raise typer.Exit


@app.callback()
def _before(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None: ...


Mission = Annotated[str, typer.Option("--mission", "-m", help="Folder under pipelines/.", envvar="PROVEOUT_MISSION")]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Where products, releases and the journal live [work/<mission>].", envvar="PROVEOUT_HOME"),
]
Data = Annotated[Path | None, typer.Option("--data", help="A folder of documents with a labels.csv.")]


def _workspace(mission: str, home: Path | None):  # type: ignore[no-untyped-def]
    from proveout.workspace import Workspace

    return Workspace.find(mission, home)


def _deciding(mission: str, home: Path | None):  # type: ignore[no-untyped-def]
    """The workspace, in a process that runs the promoted release's own code."""
    from proveout.cli.own_code import continue_by_own_code

    space = _workspace(mission, home)
    continue_by_own_code(space)
    return space


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Documents with a labels.csv instead of synthetic ones.")] = None,
    documents: Annotated[int, typer.Option(help="How many synthetic documents.", min=150)] = 900,
    seed: Annotated[int, typer.Option(help="Of the synthetic documents.")] = 7,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """The main job once through: documents, build, release, a dated stream of cases, drift and bias, a summary.

    A second run skips everything that is already done.
    """
    from proveout.cli.demo import demo as run_demo

    run_demo(mission, data, documents, seed, home)


@app.command()
def synthesize(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    documents: Annotated[int, typer.Option(help="How many.", min=1)] = 900,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
) -> None:
    """Write a dated stream of synthetic invoices with a labels.csv, known drift and a known bias (truth.json)."""
    from proveout.corpus import synthetic
    from proveout.progress import bar

    with bar("Drawing documents", documents) as step:
        synthetic.generate(folder, documents=documents, seed=seed, progress=step)
    print(f"{documents} documents in {folder}; build from them with: proveout build --data {folder}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Lowercase letters, digits and _, such as `bills`.")],
    flags: Annotated[
        bool, typer.Option("--flags", help="Begin with yes/no flags of letters, not with questions of bills.")
    ] = False,
) -> None:
    """Begin a mission: a folder under pipelines/ that builds at once, with example documents, to be made yours.

    Questions are fields whose values are printed: names, amounts, dates, numbers. Flags are yes or no of the whole document:
    is it a complaint, is it urgent? One mission may have both. Its steps are the notebooks that ship.

    \b
    proveout new bills             reads bills: reference, sender, total, due
    proveout new letters --flags   sorts letters: complaint, urgent, ends_contract
    """
    from proveout.cli import designing

    designing.new(name, "flags" if flags else "questions")


@app.command()
def build(
    data: Data = None,
    only: Annotated[list[str] | None, typer.Option(help="A task, with what it depends on. May be repeated.")] = None,
    force: Annotated[bool, typer.Option(help="Run every task although nothing changed.")] = False,
    record: Annotated[bool, typer.Option(help="Write the HTML record of each notebook that runs.")] = True,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Run the notebooks whose inputs changed, up to a new release.

    A step is stale when the code on the way to its products, a module it imports, a parameter, a prompt, its data or an
    upstream product changed. A changed chart rebuilds nothing. `proveout why TASK` says what it was.
    """
    from proveout.cli import designing

    designing.build(_workspace(mission, home), data, only, force, record)


@app.command()
def why(task: str, data: Data = None, mission: Mission = "invoices", home: Home = None) -> None:
    """Say in one line what makes a task stale, or that nothing does."""
    from proveout.cli import designing

    print(designing.why(_workspace(mission, home), task, data))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def edit(
    context: typer.Context,
    notebook: Annotated[str, typer.Argument(help="A step of the build or the monitor pipeline, such as `models` or `drift`.")],
    data: Data = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Open a notebook in marimo's editor on the pipeline's own inputs.

    Further options go to marimo: proveout edit models --headless --port 2718
    """
    from proveout.cli import designing

    designing.edit(_workspace(mission, home), notebook, data, context.args)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(
    context: typer.Context,
    marimo: Annotated[bool, typer.Option("--marimo", help="marimo's editor on the notebooks' folder, not JupyterLab.")] = False,
    data: Data = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Open JupyterLab on the project, where the tours are: notebooks/tours/first_steps.ipynb.

    A notebook or percent script that is a pipeline's task opens with its parameters and paths, which are not saved with it. A
    marimo notebook opens as the read-only record of its last run (Open With, Notebook). Further options go to JupyterLab, or to
    marimo:

    \b
    proveout lab --no-browser --port 8888
    proveout lab --marimo --headless
    """
    from proveout.cli import designing

    designing.lab(_workspace(mission, home), data, marimo, context.args)


@app.command()
def parity(
    tolerance: Annotated[float, typer.Option(help="How far confidences may lie apart.", min=0)] = 1e-9,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Decide the calibration cases four ways and compare: notebook in marimo's kernel, pipeline, release, server.

    Exit code 1 and a table of what differs, where anything does. The build's products stay as they are.
    """
    from proveout.cli import designing

    raise typer.Exit(0 if designing.parity(_workspace(mission, home), tolerance) else 1)


@app.command()
def run(
    inbox: Annotated[Path | None, typer.Option(help="Folder of new documents [<home>/inbox].")] = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Decide every new case in the inbox by the promoted release, and carry out what the control plane allows.

    The same file is the same case: running twice decides nothing twice.
    """
    from proveout.cli import acting

    acting.run(_deciding(mission, home), inbox)


@app.command()
def extract(
    folder: Annotated[Path, typer.Argument(help="PDFs, scans, images, texts.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON: document -> field -> value, confidence, automated.")],
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Write the fields of every document of a folder by the promoted release. Nothing is journaled and nothing is done."""
    from proveout.cli import acting

    acting.extract(_deciding(mission, home), folder, out)


@app.command()
def show(
    document: Annotated[str, typer.Argument(help="A file, or the beginning of a case's id.")],
    again: Annotated[bool, typer.Option("--again", help="Decide it by today's release, whatever was decided.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Show a decision: fields with their evidence, checks, the route, what policy says to each action, what came of it.

    A case that was decided is shown as it was; a new document is decided, nothing is written down and nothing happens.
    """
    from proveout.cli import acting
    from proveout.cli.own_code import continue_by_own_code

    acting.show(_workspace(mission, home), document, again, continue_by_own_code)


@app.command()
def monitor(mission: Mission = "invoices", home: Home = None) -> None:
    """Compare the live logs with the release's reference: drift, bias by segment, performance as labels arrive."""
    from proveout.cli import watching

    watching.monitor(_workspace(mission, home))


@app.command()
def status(mission: Mission = "invoices", home: Home = None) -> None:
    """What is built and what is stale, which release is promoted, what the journal holds, and whether it verifies."""
    from proveout.cli import watching

    watching.status(_workspace(mission, home))


@app.command()
def schedule(
    run: Annotated[str, typer.Option(metavar="CRON", help="When to decide the inbox; or `never`.")] = "*/15 * * * *",
    monitor: Annotated[str, typer.Option(metavar="CRON", help="When to make the reports; or `never`.")] = "0 6 * * *",
    timezone: Annotated[str | None, typer.Option(help="Such as Europe/Berlin [the system's].")] = None,
    once: Annotated[bool, typer.Option("--once", help="Run now, monitor if it is due, and exit: for cron.")] = False,
    history: Annotated[bool, typer.Option("--list", help="Show what ran: when, what, how long, the result.")] = False,
    last: Annotated[int, typer.Option(help="So many lines of --list.", min=1)] = 20,
    timeout: Annotated[float, typer.Option(metavar="MINUTES", help="A job that takes longer is ended.", min=0.01)] = 120,
    database: Annotated[
        str, typer.Option(help="postgresql://... for the schedule's state [<home>/schedule.db].", envvar="PROVEOUT_DATABASE")
    ] = "",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Run `proveout run` and `proveout monitor` by the clock until Ctrl-C, durably and never twice at a time.

    CRON is minute hour day month weekday. What was missed while the machine was off is made up once; a job that was killed
    is done again by the next start. What jobs print goes to <home>/schedule.log.

    \b
    proveout schedule                                     every 15 minutes; reports at 06:00
    proveout schedule --run "0 8-18 * * mon-fri"          on the hour, in office hours
    proveout schedule --once                              from cron or a systemd timer
    """
    from proveout.cli import scheduling

    space = _workspace(mission, home)
    if history:
        scheduling.history(space, database, last)
        return
    raise typer.Exit(
        0 if scheduling.schedule(space, {"run": run, "monitor": monitor}, timezone, database, timeout, once) else 1
    )


@app.command()
def label(
    labels: Annotated[Path, typer.Argument(help="A labels.csv, or a folder that holds one.", exists=True)],
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only cases received until this day.")] = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Add people's answers to the journal. They arrive after the decisions and measure their precision.

    One by one they are given on the review page: proveout review
    """
    from proveout.cli import watching

    watching.label(_workspace(mission, home), labels, until.date() if until else None)


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="As `proveout extract` writes them.", exists=True, dir_okay=False)],
    labels: Annotated[Path, typer.Argument(help="A labels.csv.", exists=True)],
    split: Annotated[str | None, typer.Option(help="Only the rows of this split.")] = None,
    mission: Mission = "invoices",
) -> None:
    """Precision, recall and F1 of a predictions file, of all answers and of the automated ones."""
    from proveout.cli import watching

    watching.score(_workspace(mission, None), predictions, labels, split)


@app.command()
def stop(
    because: Annotated[str, typer.Argument(help="What people read who find it stopped.")] = "no reason was given",
    lift: Annotated[bool, typer.Option(help="Let effects happen again.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Stop every side effect at once, until `proveout stop --lift`. Deciding goes on; what it allows waits for the next run."""
    from proveout.cli import acting

    acting.stop(_workspace(mission, home), because, lift)


@app.command()
def undo(
    case: Annotated[str, typer.Argument(help="A case's id, or its beginning.")],
    action: Annotated[str, typer.Option(help="Such as pay_invoice [all that was done].")] = "",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Take back what was done for a case, by each action's compensation, as far as policy allows you as an operator.

    What was taken back already stays so. A payment that was executed may be beyond recall; then it says so.
    """
    from proveout.cli import acting

    raise typer.Exit(0 if acting.undo(_workspace(mission, home), case, action) else 1)


@app.command()
def effects(
    retry: Annotated[
        str, typer.Option(metavar="KEY", help="Try one again that failed: its key or the beginning of its case; or `all`.")
    ] = "",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """List the effects that have no outcome yet: pending, failed and tried again later, unknown, dead.

    An effect that failed is tried again after 1, 5, 30 and 120 minutes; then it is a dead letter and waits for --retry. Of one
    that is `unknown` no answer came: before it is sent again, its connector asks whether it happened.
    """
    from proveout.cli import acting

    acting.effects(_workspace(mission, home), retry)


Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)]


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8321,
    root_path: Annotated[str, typer.Option(help="Path under which a proxy shows it, such as /proveout.")] = "",
    proxy: Annotated[str, typer.Option(help="Address of a proxy that is trusted to say who asks, and whether by https.")] = "",
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Private key, for https.", exists=True, dir_okay=False)] = None,
    ssl_certfile: Annotated[Path | None, typer.Option(help="Its certificate.", exists=True, dir_okay=False)] = None,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Serve decisions to programs, reports and reviews to people; documents that come in are decided at once.

    Everybody needs an account. The calls for programs are described at /api, and for code generators at /openapi.json.

    \b
    proveout user add ada --role operator
    proveout serve
    """
    from proveout.cli import acting

    space = _deciding(mission, home)
    acting.serve(space, host, port, root_path, proxy, (ssl_keyfile, ssl_certfile))


@app.command()
def review(host: Host = "127.0.0.1", port: Port = 8321, mission: Mission = "invoices", home: Home = None) -> None:
    """Serve, and open the review page in a browser. It needs an account with the role reviewer or operator."""
    from proveout.cli import acting

    acting.serve(_deciding(mission, home), host, port, show="/review/")


@release_app.command("list")
def release_list(mission: Mission = "invoices", home: Home = None) -> None:
    """Every release with its day, its scores, which one is promoted, and whether something else than that is installed."""
    from proveout.cli import releasing

    releasing.releases(_workspace(mission, home))


@release_app.command("show")
def release_show(
    release: Annotated[str, typer.Argument(help="An id, or the start of one; `latest` for the newest.")] = "latest",
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """One release: its parts, who promoted it when, and how what is installed here differs from what it pins."""
    from proveout.cli import releasing

    releasing.release(_workspace(mission, home), release)


@release_app.command("promote")
def release_promote(
    release: Annotated[str, typer.Argument(help="An id, or the start of one; `latest` for the newest.")] = "latest",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Promote it also where it is worse, without a question.")] = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Let a release decide the next cases.

    Where its evaluation shows less automation or less precision than the promoted release has, the difference is shown
    first, and you are asked. A program has no terminal to answer on and says --yes.
    """
    from proveout.cli import releasing

    raise typer.Exit(0 if releasing.promote(_workspace(mission, home), release, yes) else 1)


@release_app.command("rollback")
def release_rollback(mission: Mission = "invoices", home: Home = None) -> None:
    """Return to the release that was promoted before this one."""
    from proveout.cli import releasing

    releasing.rollback(_workspace(mission, home))


Name = Annotated[str, typer.Argument(help="Up to 32 lowercase letters, digits, `.`, `_`, `-`.")]
Label = Annotated[str, typer.Argument(help="What the token is for, such as `mail-gateway`.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Take the password from standard input instead of asking for it twice.")
]


@user_app.command("add")
def user_add(
    name: Name,
    role: Annotated[str, typer.Option(help="reader, reviewer or operator.")],
    password_stdin: PasswordStdin = False,
    mission: Mission = "invoices",
    home: Home = None,
) -> None:
    """Make an account. The password is asked for twice and not shown; 12 characters at least.

    \b
    proveout user add ada --role reviewer
    pass show proveout/ada | proveout user add ada --role reviewer --password-stdin
    """
    from proveout.cli import people

    people.add(_workspace(mission, home), name, role, password_stdin)


@user_app.command("list")
def user_list(mission: Mission = "invoices", home: Home = None) -> None:
    """Every account with its role and the labels of its tokens."""
    from proveout.cli import people

    people.show(_workspace(mission, home))


@user_app.command("remove")
def user_remove(name: Name, mission: Mission = "invoices", home: Home = None) -> None:
    """Remove an account with its sessions and tokens, at once. What it answered stays, under its name."""
    from proveout.cli import people

    people.remove(_workspace(mission, home), name)


@user_app.command("password")
def user_password(name: Name, password_stdin: PasswordStdin = False, mission: Mission = "invoices", home: Home = None) -> None:
    """Set a new password. Every session of the account ends; its tokens stay until they are revoked."""
    from proveout.cli import people

    people.password(_workspace(mission, home), name, password_stdin)


@user_app.command("token")
def user_token(name: Name, label: Label, mission: Mission = "invoices", home: Home = None) -> None:
    """Make a token with which a program acts for an account. It is printed once and kept only as a hash.

    \b
    TOKEN=$(proveout user token ada mail-gateway)
    curl -H "Authorization: Bearer $TOKEN" -F file=@invoice.pdf http://127.0.0.1:8321/api/v1/cases
    """
    from proveout.cli import people

    people.token(_workspace(mission, home), name, label)


@user_app.command("revoke")
def user_revoke(name: Name, label: Label, mission: Mission = "invoices", home: Home = None) -> None:
    """Make a token worthless, at once."""
    from proveout.cli import people

    people.revoke(_workspace(mission, home), name, label)


def main() -> None:
    """Run the command line; a fault that Proveout knows is one message and exit code 1."""
    from proveout.errors import ProveoutError

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
            sys.exit(f"proveout: {where}: {error.strerror}; take the right to it, or name another folder with --home")
        raise
    except KeyboardInterrupt:
        sys.exit(130)
