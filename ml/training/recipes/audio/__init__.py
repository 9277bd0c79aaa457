"""Recipe of the voice network."""
