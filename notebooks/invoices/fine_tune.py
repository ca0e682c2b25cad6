import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Fine-tuning")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # Fine-tuning the language model

    The local model of `prompts/model.yaml` learns from the labelled documents of the **train** split to answer the prompt as
    it is sent to it: an adapter (LoRA), a few MB, that the next step merges into a model of its own. On a GPU this takes
    minutes. Two cores take a quarter of an hour for an epoch of 100 documents with 3,500 `characters` and no examples, and
    much longer for a longer prompt.

    Whether it helps, `calibrate` tells, once `model.yaml` names the merged model. It then judges the model on documents that
    are neither among these nor copies of one.
    """)
    return


@app.cell(hide_code=True)
def training_controls(mo):
    epochs_slider = mo.ui.slider(1, 5, value=3, label="epochs, at most", show_value=True)
    rank_picker = mo.ui.dropdown({"8": 8, "16": 16, "32": 32}, value="16", label="rank of the adapter")
    train_button = mo.ui.run_button(label="train")
    mo.hstack([epochs_slider, rank_picker, train_button], justify="start")
    return epochs_slider, rank_picker, train_button


@app.cell(hide_code=True)
def losses(plt, tuned):
    _epochs = range(1, len(tuned.losses) + 1)
    _figure, _axes = plt.subplots(figsize=(7, 3))
    _axes.plot(_epochs, tuned.losses, "o-", color="#2b6cb0", label="learned from")
    _axes.plot(_epochs, tuned.held_back_losses, "o-", color="#dd6b20", label="held back")
    _axes.set(xlabel="epoch", ylabel="loss per token of the answers, nats", xticks=list(_epochs), ylim=(0, None))
    _axes.set_title(f"{tuned.examples} examples; longer than the limit and left out: {tuned.left_out}", fontsize=9)
    _axes.legend(frameon=False)
    _axes.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    _figure
    return


@app.cell
def the_examples(BadPrompts, Dataset, Prompts, context, examples_of, math, missions):
    mission = missions.load(context.params["mission"])
    prompts = Prompts.load(context.params["prompts"], mission)
    if not (prompts.model and prompts.model.local):
        raise BadPrompts(
            f"{context.params['prompts'] / 'model.yaml'}: names no model on this machine; write `local: smollm2`, or a folder"
        )
    dataset = Dataset.load(context.params["dataset"])
    examples = examples_of(dataset.documents("train"), dataset.labels("train"), dataset.classes("train"), mission, prompts)
    _learned = {example.document for example in examples}
    copies = [id for fold in dataset.folds(math.inf) for group in fold for id in group if _learned & set(group)]
    return copies, examples, prompts


@app.cell
def the_adapter(TuningSettings, context, copies, epochs_slider, examples, mo, prompts, rank_picker, train_button, tune):
    # the pipeline trains at once; in the editor a person says when
    mo.stop(context.spec and not train_button.value, mo.md(f"*not trained yet; {len(examples)} examples*"))
    _settings = TuningSettings(rank=rank_picker.value, epochs=epochs_slider.value)
    tuned = tune(prompts.model.local, examples, context.product["adapter"], _settings, copies)
    return (tuned,)


@app.cell(hide_code=True)
def about_examples(mo):
    mo.md("""
    ## One example
    """)
    return


@app.cell(hide_code=True)
def example_control(examples, mo):
    example_slider = mo.ui.slider(0, len(examples) - 1, label="example", show_value=True)
    example_slider
    return (example_slider,)


@app.cell(hide_code=True)
def one_example(example_slider, examples, mo):
    _example = examples[example_slider.value]
    _prompt = {f"{role}, {len(text):,} characters": mo.plain_text(text) for role, text in _example.messages}
    mo.vstack([mo.accordion(_prompt), mo.md("The answer that it learns:"), mo.plain_text(_example.answer)])
    return


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    import math

    from proveout import mission as missions
    from proveout.corpus import Dataset
    from proveout.errors import BadPrompts
    from proveout.models.fine_tuning import TuningSettings, examples_of, tune
    from proveout.prompts import Prompts

    return BadPrompts, Dataset, Prompts, TuningSettings, examples_of, math, missions, tune


@app.cell(hide_code=True)
def imports_of_the_view():
    import marimo as mo
    import matplotlib.pyplot as plt

    return mo, plt


if __name__ == "__main__":
    app.run()
