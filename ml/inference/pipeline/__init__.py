"""The analysis of one media file, from bytes to the result."""
