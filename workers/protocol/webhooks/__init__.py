"""Webhook events and signatures."""
