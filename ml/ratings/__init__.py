"""Human ratings of a result: their import from annotation tools, and how far raters and model agree.

No torch, no numpy: the gateway uses it.
"""
