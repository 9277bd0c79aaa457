"""Recipe of the face identity."""
