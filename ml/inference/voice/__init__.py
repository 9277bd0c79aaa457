"""Voice: speech segments and their reading."""
