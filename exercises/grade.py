"""Grade exercises for points: python -m exercises.grade ex03

Exit status: 0 full marks, 1 below, 2 when the exercises themselves or the command are at fault.
"""

import argparse
import sys
from pathlib import Path

from ._grader import messages, runner, wrong
from ._grader.case import Case, Outcome
from ._grader.folder import Folder
from ._grader.judge import available, expected_of, judge
from ._grader.manifest import ROOT, Exercise, SetupError, find, load
from ._grader.messages import Verdict
from ._grader.record import Record

SEED = 1  # check and pytest use 0: the cases are public, these numbers are others


class Prepared:
    """All that is ours about one exercise, read before the first line of a learner's code runs."""

    def __init__(self, exercise: Exercise, seed: int, root: Path) -> None:
        self.exercise = exercise
        self.folder = Folder(exercise, root)
        groups = self.folder.cases_by_test(seed)
        self.tests = [test for test in exercise.tests if not available(test)]
        self.cases = {test.name: groups[test.name] for test in self.tests}
        self.expected = {name: expected_of(self.folder, cases) for name, cases in self.cases.items()}
        self.wrongs = wrong.load(self.folder)


def grade(prepared: Prepared, submission: Path, record: Record) -> list[Verdict]:
    """Grade one file; each verdict is in the record before the next test begins."""
    exercise, verdicts = prepared.exercise, []
    for test in exercise.tests:
        if test not in prepared.tests:
            verdicts.append(Verdict(test, "not available", [available(test)]))
            record.note(exercise, verdicts[-1])
    content = runner.read_submission(submission)
    cases = [case for test in prepared.tests for case in prepared.cases[test.name]]
    outcomes = (
        iter([content] * len(cases)) if isinstance(content, Outcome) else runner.run(prepared.folder, content, cases)
    )
    given: dict[str, list[Outcome]] = {}
    for test in prepared.tests:
        given[test.name] = [next(outcomes) for _ in prepared.cases[test.name]]
        verdict = judge(
            prepared.folder, test, prepared.cases[test.name], given[test.name], prepared.expected[test.name]
        )
        verdicts.append(verdict)
        record.note(exercise, verdict)
    recognise(prepared, [verdict for verdict in verdicts if verdict.status == "wrong"], given)
    for verdict in verdicts:
        if verdict.recognised:
            record.note(exercise, verdict)
    return sorted(verdicts, key=lambda verdict: exercise.tests.index(verdict.test))


def recognise(prepared: Prepared, failed: list[Verdict], given: dict[str, list[Outcome]]) -> None:
    """Name the known mistakes among the failed tests. Our own code runs for this, in a child of its own."""
    failed = [verdict for verdict in failed if all(outcome.outputs is not None for outcome in given[verdict.test.name])]
    cases: list[Case] = [case for verdict in failed for case in prepared.cases[verdict.test.name]]
    if not cases:
        return
    theirs = runner.run_sources(prepared.folder, [one.source for one in prepared.wrongs], cases)
    start = 0
    for verdict in failed:
        name = verdict.test.name
        end = start + len(prepared.cases[name])
        verdict.recognised = wrong.recognise(
            prepared.wrongs,
            [row[start:end] for row in theirs],
            given[name],
            prepared.cases[name],
            prepared.expected[name],
            prepared.folder.axes,
        )
        start = end


def report(exercise: Exercise, verdicts: list[Verdict], points: int, maximum: int) -> str:
    """What a learner reads about one exercise."""
    lines = [f"{exercise.id} · {exercise.title}: {points} of {maximum} points"]
    lines += messages.of_verdicts(verdicts, points=True)
    if all(verdict.status in ("passed", "not available") for verdict in verdicts):
        lines += messages.indent(messages.wrap(exercise.done))
    else:
        lines.append(f"    hints: python -m exercises.grade {exercise.id} --hint")
    return "\n".join(lines)


def listing(exercises: list[Exercise]) -> str:
    """One line an exercise: difficulty, minutes, points, what to do before."""
    lines = []
    for one in exercises:
        before = f" · after {', '.join(one.prerequisites)}" if one.prerequisites else ""
        difficulty = "●" * one.difficulty + "○" * (5 - one.difficulty)
        lines.append(
            f"{one.id}  {one.title:<24} {difficulty}  {one.minutes:>2} min  {one.points:>2} points  exercises/{one.folder}/{before}"
        )
    return "\n".join(lines)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m exercises.grade", description="Grade exercises for points.")
    parser.add_argument("exercise", nargs="*", help="ex03, ex04, ...; all if left out")
    parser.add_argument("--list", action="store_true", help="list the exercises and stop")
    parser.add_argument(
        "--hint",
        nargs="?",
        const=1,
        type=int,
        choices=(1, 2, 3),
        help="print a hint and stop; the first asks a question",
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"which inputs (default {SEED}; check and pytest use 0)")
    parser.add_argument("--out", type=Path, default=ROOT.parent / "_build" / "grade", help="folder for record.json")
    arguments = parser.parse_args(argv)
    if arguments.seed < 0:
        parser.error(f"--seed must be 0 or more, got {arguments.seed}")
    return arguments


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """The command. Returns the exit status."""
    arguments = _arguments(argv)
    try:
        exercises = load(root)
        chosen = [find(name, exercises) for name in arguments.exercise] or list(exercises.values())
        chosen = list(dict.fromkeys(chosen))
        if arguments.list:
            print(listing(chosen))
            return 0
        if arguments.hint:
            if not arguments.exercise:
                raise SetupError("--hint wants an exercise: python -m exercises.grade ex03 --hint")
            for exercise in chosen:
                print("\n".join([f"{exercise.id} · {exercise.title}", *messages.of_hint(exercise, arguments.hint)]))
            return 0
        prepared = [Prepared(exercise, arguments.seed, root) for exercise in chosen]
        record = Record(arguments.out, chosen, arguments.seed)
        for one in prepared:
            verdicts = grade(one, one.folder.submission, record)
            print(report(one.exercise, verdicts, *record.of(one.exercise)), flush=True)
        record.finish()
    except KeyError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    except SetupError as error:
        print(f"the grader cannot work: {error}", file=sys.stderr)
        return 2
    if record.data["not_available"]:
        print(f"not available here, and not in the maximum: {', '.join(record.data['not_available'])}")
    print(
        f"{record.points} of {record.max} points, with the inputs of seed {arguments.seed} (check and pytest use seed 0). Record: {record.path}"
    )
    return 0 if record.points == record.max else 1


if __name__ == "__main__":
    sys.exit(main())
