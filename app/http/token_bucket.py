"""Token bucket: a rate limit with a burst."""


class TokenBucket:
    """Allowance of `rate` tokens a second, of which at most `burst` accumulate. Times are those of a monotonic
    clock, in seconds."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._updated_at = burst, now

    def spend(self, tokens: float, now: float) -> float:
        """Take tokens, even if too few are left. Returns the seconds until none is missing."""
        self._refill(now)
        self._tokens -= tokens
        return max(0.0, -self._tokens / self._rate)

    def try_spend(self, tokens: float, now: float) -> bool:
        """Take tokens if enough are left. Returns whether they were."""
        self._refill(now)
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
