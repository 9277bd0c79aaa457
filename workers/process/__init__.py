"""The worker process: Celery app, heartbeat, supervisor, working directory, metrics."""
