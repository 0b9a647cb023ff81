"""The stand-in for Docker Hub that the tests and the demo pull from."""

from .faults import (
    Delay,
    Delivery,
    ExpiredRedirect,
    ExpiredToken,
    Flip,
    Gzip,
    HangUp,
    Header,
    NoRange,
    Redirect,
    Stall,
    Status,
    relative,
)
from .hub import Hub
from .images import Image
from .log import Seen

__all__ = [
    "Delay",
    "Delivery",
    "ExpiredRedirect",
    "ExpiredToken",
    "Flip",
    "Gzip",
    "HangUp",
    "Header",
    "Hub",
    "Image",
    "NoRange",
    "Redirect",
    "Seen",
    "Stall",
    "Status",
    "relative",
]
