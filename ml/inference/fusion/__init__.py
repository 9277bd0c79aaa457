"""Windows, timeline and the fusion of modalities."""
