"""Interfaces of other services, translated to this one's, for programs that were written for them."""
