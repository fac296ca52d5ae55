"""kaoset: image boards, product pages and video in; clean, reviewed, reproducible face datasets out."""

__version__ = "0.1.0"
