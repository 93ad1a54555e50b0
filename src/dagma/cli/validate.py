"""`dagma validate`: can the settings and the definitions of this environment be loaded?"""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `validate`."""
    parser = subparsers.add_parser(
        "validate", help="load every setting and every definition, and tell what is wrong", description=__doc__
    )
    parser.set_defaults(handler=validate)


def validate(options: argparse.Namespace) -> int:
    """Print a paragraph for each problem, and return 0 only if there is none; nothing is asked over a network."""
    del options
    # Here, because they import Dagster, for which no other command should wait.
    from dagma.validation.definitions import definition_problems
    from dagma.validation.setting_checks import setting_problems

    # Definitions refuse bad settings themselves: said once, by the setting.
    problems = list(dict.fromkeys([*setting_problems(), *definition_problems()]))
    for problem in problems:
        print(problem)
    return 1 if problems else 0
