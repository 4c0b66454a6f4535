"""`benchsuite pretrain`: one model by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchsuite.cli import options
from benchsuite.cli.numbers import finite
from benchsuite.limits import LEAST_RATE, MOST_AMOUNT, MOST_RATE, MOST_SEED, MOST_SIZE, MOST_THREADS


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model; it must not exist yet.")],
    corpus: Annotated[
        str, typer.Option(help="A corpus by name (see `benchsuite list corpora`), or a file or folder.")
    ] = "curated",
    tokens: Annotated[int, typer.Option(help="Tokens to train on.", min=1, max=MOST_AMOUNT)] = 500_000,
    layers: Annotated[int, typer.Option(min=1, max=MOST_SIZE)] = 3,
    width: Annotated[int, typer.Option(min=1, max=MOST_SIZE)] = 96,
    heads: Annotated[int, typer.Option(min=1, max=MOST_SIZE)] = 4,
    vocab: Annotated[int, typer.Option(min=257, max=MOST_SIZE, help="Size of the tokenizer's vocabulary.")] = 512,
    seq: Annotated[int, typer.Option(min=2, max=MOST_SIZE, help="Training length in tokens.")] = 96,
    activation: Annotated[str, typer.Option(help="See `benchsuite list components`.")] = "gelu",
    position: Annotated[str, typer.Option()] = "learned",
    embedding_norm: Annotated[str, typer.Option()] = "off",
    learning_rule: Annotated[str, typer.Option(help="backprop, dfa, dfa_micro or shallow")] = "backprop",
    architecture: Annotated[str, typer.Option(help="causal, prefix or encdec")] = "causal",
    objective: Annotated[str, typer.Option(help="lm, prefix-lm or span-corruption")] = "lm",
    batch: Annotated[int, typer.Option(min=1, max=MOST_SIZE, help="Sequences per step.")] = 32,
    lr: Annotated[
        float, typer.Option(help="Peak learning rate.", min=LEAST_RATE, max=MOST_RATE, callback=finite)
    ] = 3e-3,
    seed: Annotated[int, typer.Option(help="Order of the data and first weights.", min=0, max=MOST_SEED)] = 0,
    corpus_bytes: Annotated[
        int, typer.Option(help="Text to take from the corpus.", min=1, max=MOST_AMOUNT)
    ] = 4_000_000,
    threads: Annotated[int, typer.Option(help="CPU threads, 0 for all cores.", min=0, max=MOST_THREADS)] = 0,
    device: options.Device = "auto",
    micro_batch: Annotated[
        int | None, typer.Option(min=1, max=MOST_SIZE, help="Sequences at once; gradients are added up.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="auto (the device's own), float32, bfloat16 or float16 (with loss scaling)")
    ] = "auto",
    recompute: Annotated[bool, typer.Option("--recompute", help="Recompute activations in the backward pass.")] = False,
    compile_: Annotated[bool, typer.Option("--compile", help="torch.compile the loss.")] = False,
    parallel: Annotated[str, typer.Option(help="Under torchrun: ddp, or fsdp to shard the model as well.")] = "ddp",
    snapshots: Annotated[Path | None, typer.Option(help="Folder to resume from, and to write snapshots to.")] = None,
    every: Annotated[int, typer.Option(min=1, max=MOST_AMOUNT, help="Steps between snapshots.")] = 500,
) -> None:
    """Train one model and save it.

    On several devices: `torchrun --nproc-per-node 8 -m benchsuite pretrain …`. An interrupted training with --snapshots
    goes on when the same command is given again.
    """
    from benchsuite.errors import UserError, did_you_mean
    from benchsuite.model.spec import ModelSpec, untaught

    spec = ModelSpec(layers=layers, width=width, heads=heads, vocab=vocab, seq=seq, activation=activation,
                     position=position, embedding_norm=embedding_norm, learning_rule=learning_rule,
                     architecture=architecture, fills=objective == "span-corruption")  # fmt: skip
    if objective == "lm" and architecture != "causal":
        raise UserError(f"full language modelling gives a model of architecture {architecture!r} nothing to see",
                        hint="choose --objective prefix-lm or span-corruption")  # fmt: skip
    if (reason := untaught(learning_rule, architecture, objective)) is not None:
        raise UserError(reason, hint="choose --learning-rule backprop, or --objective lm")
    if output.exists():
        raise UserError(f"{output} exists already", hint="name another folder, or remove it")

    import torch
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from benchsuite import devices as known_devices
    from benchsuite import files, format
    from benchsuite.cli import devices
    from benchsuite.hardware.fingerprint import usable_cores
    from benchsuite.model import checkpoint
    from benchsuite.pretrain import corpora, tokenizer
    from benchsuite.pretrain.gaps import marks
    from benchsuite.pretrain.names import FACTS
    from benchsuite.pretrain.ranks import Ranks
    from benchsuite.pretrain.snapshots import Snapshots
    from benchsuite.pretrain.step import DTYPES
    from benchsuite.pretrain.trainer import train
    from benchsuite.records.params import TrainConfig

    for option, value, known in (
        ("--parallel", parallel, ("ddp", "fsdp")),
        ("--precision", precision, ("auto", *DTYPES)),
        ("--objective", objective, ("lm", "prefix-lm", "span-corruption")),
    ):
        if value not in known:
            raise UserError(f"{option} {value!r} is unknown", hint=did_you_mean(value, list(known)))
    device = devices.usable(device)
    precision = known_devices.named(device).dtype("step") if precision == "auto" else precision
    ranks = Ranks.here(device)
    torch.set_num_threads(threads or max(1, usable_cores() // ranks.size))
    console = Console(stderr=True, quiet=not ranks.first)
    text = corpora.load(corpus, train_bytes=corpus_bytes)
    vocabulary = tokenizer.train(text.train, vocab - marks(seq) if spec.fills else vocab)
    packed = tokenizer.encode_corpus(vocabulary, text)
    console.print(f"{format.si(len(packed), 'tokens')} of {corpus}", highlight=False)
    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.percentage:.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("train", total=1.0)
        config = TrainConfig(tokens=tokens, batch=batch, lr=lr, micro_batch=micro_batch, precision=precision,
                             recompute=recompute, compile=compile_)  # fmt: skip
        model, log = train(
            spec, packed, config, seed=seed, ranks=ranks, parallel="fsdp" if parallel == "fsdp" else "ddp",
            snapshots=Snapshots(snapshots, every) if snapshots else None,
            progress=lambda done: progress.update(bar, completed=done), objective=objective,
        )  # fmt: skip
    if ranks.first:
        languages = list(text.parts) or ([corpus.removeprefix(FACTS)] if text.tasks == "facts" else [])
        about = {"corpus": corpus, "tasks": text.tasks, "languages": languages, "objective": objective}
        checkpoint.save(model, files.named(output), vocabulary, about | {"tokens": log.tokens, "seed": seed})
        rate = format.si(log.tokens_per_s, "tokens/s")
        told = f"loss {log.final_loss:.3f} nats after {format.si(log.tokens, 'tokens')} at {rate}"
        console.print(told, highlight=False)
        print(output)
    ranks.leave()
