"""Hides the network: one polite pace per host, patience with what passes, and only whole files under their name."""

from pipeline.http.answers import Fetched, Gone, Objection, Refused, Stopped, WebPage
from pipeline.http.client import Client
from pipeline.http.download import CHUNK, Part, measure
from pipeline.http.hosts import Hosts
from pipeline.http.wire import is_loopback

__all__ = [
    "CHUNK",
    "Client",
    "Fetched",
    "Gone",
    "Hosts",
    "Objection",
    "Part",
    "Refused",
    "Stopped",
    "WebPage",
    "is_loopback",
    "measure",
]
