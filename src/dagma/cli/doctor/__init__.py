"""`dagma doctor`: is everything there, and does it work, that a call needs?"""
