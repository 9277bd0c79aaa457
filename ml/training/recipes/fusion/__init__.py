"""Recipe of the fusion network."""
