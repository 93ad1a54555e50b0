"""`dagma validate`: can the settings and the definitions of this environment be loaded?"""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `validate`."""
    parser = subparsers.add_parser(
        "validate", help="load every setting and every definition, and tell what is wrong", description=__doc__
    )
    parser.set_defaults(handler=validate)


def validate(options: argparse.Namespace) -> int:
    """Print a paragraph for each problem, and return 0 only if there is none."""
    del options
    from dagma.validation import find_problems

    problems = find_problems()
    for problem in problems:
        print(problem)
    return 1 if problems else 0
