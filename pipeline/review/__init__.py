"""What people decide: the rule that says what is sure, and the queue of what is not."""

from pipeline.review.queue import ReviewCrops

__all__ = ["ReviewCrops"]
