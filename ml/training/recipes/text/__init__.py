"""Recipe of the text network."""
