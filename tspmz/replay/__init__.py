"""Replay: the ring that actors write, the window the learner samples, and the sealed segments on disk."""
