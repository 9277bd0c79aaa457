"""Reading of words."""
