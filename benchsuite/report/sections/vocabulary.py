"""The words of the report and what they mean."""

from __future__ import annotations

from benchsuite.report.blocks import Block, Definitions, Fields, Section

GLOSSARY = {
    "component, variant": "An axis of choice, such as the position embedding, and one value of it, such as rotary.",
    "baseline": "What the others are compared with. Each comparison changes one component and nothing else.",
    "speed ratio": "Tokens per second of the variant over those of the baseline, measured side by side. Below 1 is "
    "slower. The unit of replication is the process.",
    "faster, slower, same, unclear": "Faster or slower: the interval excludes 1 and the ratio is beyond the margin. "
    "Same: the whole interval lies within the margin. Unclear: neither can be said. Incomparable: one side has no "
    "measurement.",
    "tokens for equal quality": "The tokens that the variant was trained on, over those at which the baseline predicts "
    'held-out text as well, read from the baseline\'s learning curve. Below 1 the variant needs less. "<" and ">" are '
    "bounds: the curve ends there. It holds here: at this size, on this text, near these budgets.",
    "shrinks, grows, holds": "How the tokens for equal quality move with scale, where the suite has a ladder of sizes "
    "and budgets: nearer to 1, away from it, or by less than the margin.",
    "learning rate": "Where a suite tries several, each model is trained at the one at which it read training text "
    "best that was set aside for this choice and scores nothing else.",
    "time to quality": "Tokens for equal quality over the speed ratio of a training step: below 1 the variant is as "
    "good as the baseline after less time.",
    "zero-shot accuracy": "The share of questions for which the model finds the right choice most likely, without "
    "having been trained on the task: the mean over tasks, every task alike. A point is one per cent of the questions.",
    "better, worse, unresolved": "Unresolved means that the interval covers zero: the run cannot tell. It does not "
    "mean that there is no difference.",
    "interval": "95%: of a hundred such intervals about 95 hold the true value. For speed over new processes, for "
    "quality over new seeds and new documents. Verdicts on quality hold for a table as a whole: Holm's correction "
    "keeps the chance of any wrong one below 5%, so an interval may exclude zero and its verdict be unresolved.",
    "minimum detectable delta": "The true difference that a run of this size finds four times in five. Differences "
    "below it mostly come out unresolved.",
    "seed": "One initialisation and one order of the data, the same order for all variants.",
    "Holm": "A correction for looking at many comparisons at once: one table, or one column of tasks, in twenty has a "
    "cell marked by chance.",
    "bits per byte": "How many bits a model needs for a byte of held-out text. Below zero the variant predicts better.",
    "iso-parameter, iso-width": "Whether variants have as many parameters as the baseline, or the same width.",
    "control": "A comparison whose answer is known. A against A must come out unresolved, a crippled model worse, and "
    "the baseline on half of the tokens at 0.5x of them; if they do not, do not trust the rest. One in twenty fails by "
    "chance.",
    "equal tokens": "All models were trained on as many tokens, not for as long: a slower variant also took longer.",
}


def blocks(document: Fields) -> list[Block]:
    return [Definitions(list(GLOSSARY.items()))]


SECTION = Section(key="vocabulary", title="Words", blocks=blocks, fold=True)
