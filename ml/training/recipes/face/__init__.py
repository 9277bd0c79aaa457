"""Recipe of the face network."""
