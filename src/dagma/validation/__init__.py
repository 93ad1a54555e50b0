"""Can this stack load its settings and its definitions? Asked before anything is replaced, and by `dagma validate`."""

from dagma.validation.definitions import definition_problems
from dagma.validation.setting_checks import setting_problems

__all__ = ["definition_problems", "find_problems", "setting_problems"]


def find_problems() -> list[str]:
    """Read every setting and load every definition of this process' environment; nothing is asked over a network.

    Returns:
        A text for each thing that is wrong, with its cause; none where everything loads.
    """
    settings = setting_problems()
    # Definitions refuse bad settings themselves: said once, by the setting.
    return settings + [problem for problem in definition_problems() if problem not in settings]
