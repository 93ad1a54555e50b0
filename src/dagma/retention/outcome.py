"""What pruning one store did."""

from collections.abc import Mapping
from dataclasses import dataclass

from dagma.wording import counted


@dataclass(frozen=True)
class Pruned:
    """How much was deleted, or would be.

    Attributes:
        deleted: How many records of each kind.
        kept: How many are past their days and stay, since something still needs them.
        kept_for_ever: Whether the settings say to delete nothing.
        is_complete: False where the time was over first: the next prune goes on.
    """

    deleted: Mapping[str, int]
    kept: int = 0
    kept_for_ever: bool = False
    is_complete: bool = True

    def __str__(self) -> str:
        if self.kept_for_ever and not any(self.deleted.values()):
            return "nothing: 0 days keep everything"
        counts = ", ".join(counted(count, kind) for kind, count in self.deleted.items())
        counts += f" ({counted(self.kept, 'older ones')} still needed)" if self.kept else ""
        return counts if self.is_complete else f"{counts}; the rest is left for the next prune"
