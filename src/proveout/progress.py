"""Progress of long steps: a bar in a terminal, one line per step elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Yield a function to call after each finished item. The bar goes to stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        done = 0

        def count(*_: object) -> None:
            nonlocal done
            done += 1

        yield count
        print(f"  {title}: {done}", file=sys.stderr)
        return
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=False) as progress:
        task = progress.add_task(title, total=total)
        yield lambda *_: progress.advance(task)
