"""How long the stack keeps what calls leave behind, and the pruning of what is older."""
