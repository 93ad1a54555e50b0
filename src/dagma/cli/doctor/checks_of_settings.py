"""Can every setting be read?"""

from dagma import environment
from dagma.cli.doctor.check import Problem


def check_settings() -> str:
    """Read all settings, and tell every one that can't be used."""
    # Here, because it imports Dagster, for which no other command should wait.
    from dagma.validation.setting_checks import setting_problems

    if problems := setting_problems():
        raise Problem(" ".join(problems))
    quotas, prices = environment.text("DAGMA_QUOTAS", "none"), environment.text("DAGMA_PRICES", "none of our own")
    return f"all can be read; quotas: {quotas}; prices: {prices}"
