"""How good is it, and how much is lost."""
