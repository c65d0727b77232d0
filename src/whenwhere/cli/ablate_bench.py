"""`whenwhere ablate judge` and `whenwhere ablate bench`: measure how good plans and planners are."""

from pathlib import Path
from typing import Annotated

import typer

Judges = Annotated[
    list[str] | None,
    typer.Option("--judge", metavar="MODEL", help="A judge, as for --model of `plan`; may be given several times."),
]
Seed = Annotated[int, typer.Option(help="Seed of the order in which judges see the lists.", rich_help_panel="More")]
MaxTokens = Annotated[
    int, typer.Option(min=16, help="Longest answer in tokens, with its reasoning.", rich_help_panel="More")
]


def judge(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan to judge: .md, .jsonl or .json.")],
    gold: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The wanted ablations, as a plan: .md, .jsonl or .json.", show_default=False),
    ] = None,
    review: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A review of the paper, as text; may be given several times."),
    ] = None,
    judges: Judges = None,
    wanted: Annotated[
        int | None, typer.Option(min=1, help="How many ablations the reviews ask for.", show_default="as judges count")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Judgement to write, a .json file.", show_default=False)
    ] = None,
    seed: Seed = 0,
    max_tokens: MaxTokens = 8192,
) -> None:
    """Judge a plan against the ablations that a paper reports, or against what its reviews ask for."""
    from whenwhere.ablate.judge import judge_files
    from whenwhere.ablate.judgement import judgement_text, write_judgement
    from whenwhere.ablate.structured import CallLog, Sampling
    from whenwhere.cli.console import out as stdout

    log = CallLog(None if out is None else out.with_suffix(".calls.jsonl"))
    found = judge_files(
        plan, judges or [], gold=gold, reviews=review or [], wanted=wanted, seed=seed,
        sampling=Sampling(max_tokens=max_tokens), log=log,
    )  # fmt: skip
    if out is not None:
        write_judgement(found, out)
    stdout.print(judgement_text(found), markup=False)


def bench(
    data: Annotated[
        str, typer.Option(metavar="DATA", help="AblationBench's data: a file, a folder, or hf:owner/name on the hub.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the results; the same command resumes.")],
    planner: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model that plans, as for --model of `plan`.")
    ] = None,
    plans: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Finished plans to judge: <paper>.jsonl, .json or .md.")
    ] = None,
    judges: Judges = None,
    papers: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder that the paths of the papers start from.")
    ] = Path("."),
    split: Annotated[str, typer.Option(help="The split, in a folder or on the hub.")] = "dev",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Number of papers to take, from the first on.", show_default="all")
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=1, max=50, help="Most ablations per plan.", show_default="5, or 2 for reviews")
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(min=1024, help="Tokens that the planner can hold.", show_default="asked", rich_help_panel="More"),
    ] = None,
    seed: Seed = 0,
    max_tokens: MaxTokens = 8192,
) -> None:
    """Plan and judge every paper of AblationBench's data, and score the planner."""
    from whenwhere.ablate.bench import report_text, run_bench
    from whenwhere.ablate.bench_data import read_bench
    from whenwhere.ablate.structured import Sampling
    from whenwhere.cli.console import note
    from whenwhere.cli.console import out as stdout

    report = run_bench(
        read_bench(data, split)[:limit], out, judges or [], planner=planner, plans=plans, root=papers, k=items,
        seed=seed, sampling=Sampling(max_tokens=max_tokens), context=context,
        on_paper=lambda paper, error: note(f"{paper}: {error or 'judged'}", "red" if error else ""),
    )  # fmt: skip
    stdout.print(report_text(report), markup=False)
    note(f"written to {out}")
    if report.failures:
        raise typer.Exit(1)
