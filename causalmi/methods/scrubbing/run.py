"""What are the scores of a claim's references? The runs of a scrub, made and scored batch by batch."""

from collections.abc import Callable, Iterator

from causalmi.engine.execute import in_pieces
from causalmi.methods.scrubbing.passes import Passes
from causalmi.methods.scrubbing.scores import Scorer, Scores
from causalmi.methods.scrubbing.setup import Setup

Progress = Callable[[str, int, int], None]


def scored(setup: Setup, scorer: Scorer, tell: Progress) -> tuple[Scores, Passes]:
    """The scores of the references, and the runs that were made for them."""
    passes = setup.passes()
    total = passes.needed(setup.references)
    for done in passes.prepare():
        tell("scrubbing", done, total)
    for done in _outputs(setup, passes, scorer):
        tell("scrubbing", done, total)
    return scorer.done(), passes


def _outputs(setup: Setup, passes: Passes, scorer: Scorer) -> Iterator[int]:
    """Score the output node's runs, those of one run together."""
    output = (setup.graph.output.variable,)
    served, order = passes.runs[output[0]].at[output], passes.order

    def some(rows: slice) -> int:
        these = order[rows]
        clean, scrubbed = passes.logits(setup.references[these], served[these])
        scorer.add(these, clean, scrubbed)
        return passes.ran

    yield from in_pieces(len(order), passes.size, some)
