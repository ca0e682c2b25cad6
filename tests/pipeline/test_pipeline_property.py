"""After any edits in any order, an incremental build has the same products as a build from scratch."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import CONTEXT, Project, notebook

from proveout.bridge import build

MODULES = 3
IN_MEMORY = next((folder for folder in ("/dev/shm",) if Path(folder).is_dir()), None)  # every product is synced to the disk
SMALL = st.integers(0, 3)


@dataclass
class Shape:
    """A small pipeline. Every value is modulo 4, so that a step often has the same product again."""

    upstream: list[list[int]]  # for each task: earlier tasks
    uses: list[list[int]]  # for each task: modules
    values: dict[tuple[str, int], int] = field(default_factory=dict)  # changed by edits

    def value(self, kind: str, number: int = 0) -> int:
        return self.values.get((kind, number), 1)

    def module(self, number: int) -> str:
        inner = f"    import mod{number + 1}\n    x = mod{number + 1}.work(x)\n" if number + 1 < MODULES else ""
        return f"# {self.value('comment', number)}\ndef work(x):\n{inner}    return (x + {self.value('module', number)}) % 4\n"

    def notebook(self, number: int) -> str:
        reads = [f'int(context.upstream["t{task}"]["n"].read_text())' for task in self.upstream[number]]
        works = "".join(f"\nx = mod{module}.work(x)" for module in self.uses[number])
        return notebook(
            CONTEXT,
            "import marimo as mo",
            f"slider = mo.ui.slider(0, 3, value={self.value('widget', number)})",
            "w = slider.value",
            f"taken = mo.ui.slider(0, 3, value={self.value('replaced', number)})",
            "p = taken.value",
            "\n".join(["import json", *(f"import mod{module}" for module in self.uses[number])]),
            f"x = (sum([{', '.join(reads)}]) + w + p + context.params['q'] + {self.value('cell', number)}) % 4{works}"
            f"\nx = (x + int(context.params['data'].read_text())) % 4  # {self.value('note', number)}",
            'context.product["n"].write_text(str(x))',
            f"shown = x + {self.value('chart', number)}",
        )

    def spec(self) -> str:
        tasks = [
            f"  - {{source: ../../nb{number}.py, name: t{number}, upstream: [{', '.join(f't{task}' for task in before)}],"
            f' product: {{n: "{{{{out}}}}/t{number}.txt"}}, data: [../../data.txt],'
            f" params: {{data: ../../data.txt, p: {self.value('p', number)}, q: {self.value('q', number)}}}}}"
            for number, before in enumerate(self.upstream)
        ]
        return "tasks:\n" + "\n".join(reversed(tasks)) + "\n"

    def write(self, project: Project) -> None:
        texts = {f"mod{number}.py": self.module(number) for number in range(MODULES)}
        texts |= {f"nb{number}.py": self.notebook(number) for number in range(len(self.upstream))}
        texts |= {"pipelines/toy/pipeline.build.yaml": self.spec(), "data.txt": str(self.value("data"))}
        texts |= {"pipelines/toy/env.build.yaml": "out: ../../out\n"}
        for name, text in texts.items():
            file = project.folder / name
            if not file.exists() or file.read_text() != text:
                project.write(name, text)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    count = draw(st.integers(2, 4))
    before = [draw(st.lists(st.integers(0, task - 1), unique=True, max_size=2)) if task else [] for task in range(count)]
    return Shape(before, [draw(st.lists(st.integers(0, MODULES - 1), unique=True, max_size=2)) for _ in range(count)])


KINDS = ("module", "comment", "cell", "note", "chart", "widget", "replaced", "p", "q", "data", "removed", "by hand", "nothing")
EDITS = st.lists(st.tuples(st.sampled_from(KINDS), SMALL, SMALL), min_size=1, max_size=4)


def _apply(shape: Shape, project: Project, kind: str, number: int, value: int) -> None:
    product = project.product(f"t{number % len(shape.upstream)}.txt")
    if kind == "removed":
        product.unlink(missing_ok=True)
    elif kind == "by hand":
        product.write_text(str(value))
    else:
        shape.values[kind, number] = value
        shape.write(project)


def _same_as_from_scratch(shape: Shape, edits: list[tuple[str, int, int]]) -> None:
    project = Project(Path(tempfile.mkdtemp(dir=IN_MEMORY)))
    try:
        shape.write(project)
        build(project.spec, record=False)
        for kind, number, value in edits:
            _apply(shape, project, kind, number, value)
            build(project.spec, record=False)
        scratch = build(project.spec, env={"out": project.folder / "scratch"}, record=False)
        assert set(scratch.ran) == set(scratch.products)
        products = {task: project.text(f"{task}.txt") for task in scratch.products}
        assert products == {task: product["n"].read_text() for task, product in scratch.products.items()}
        assert build(project.spec, record=False).ran == []
    finally:
        shutil.rmtree(project.folder)


SLOW_MACHINE = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@given(shape=shapes(), edits=EDITS)
@settings(max_examples=8, **SLOW_MACHINE)
def test_an_incremental_build_ends_like_one_from_scratch(shape: Shape, edits: list[tuple[str, int, int]]) -> None:
    _same_as_from_scratch(shape, edits)


@pytest.mark.slow
@given(shape=shapes(), edits=EDITS)
@settings(max_examples=1000, **SLOW_MACHINE)
def test_a_thousand_incremental_builds_end_like_those_from_scratch(shape: Shape, edits: list[tuple[str, int, int]]) -> None:
    _same_as_from_scratch(shape, edits)
