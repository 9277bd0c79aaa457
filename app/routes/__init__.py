"""HTTP routes: they translate between requests and services."""
