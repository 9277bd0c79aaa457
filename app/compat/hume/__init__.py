"""The Expression Measurement API of Hume (`/v0/batch/jobs`, `/v0/stream/models`), translated to jobs of this service.

What Hume's Python SDK 0.13.11 sends is read, and what is returned has the shape of its models. README, "Coming from
Hume", says what differs.
"""
