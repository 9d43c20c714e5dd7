"""Architectures, and the tasks that turn a network into a target under test."""
