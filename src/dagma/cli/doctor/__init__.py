"""`dagma doctor`: is everything there, and does it work, that a call needs?"""

from dagma.cli.doctor.command import add_parser, doctor

__all__ = ["add_parser", "doctor"]
