"""Commits and their data from one repository to another: copy, clone, push, pull."""

from __future__ import annotations

from hubzarr.session.transferring.carrying import Carrier, past_cache
from hubzarr.session.transferring.contents import Contents, Item
from hubzarr.session.transferring.grafting import Graft, plan_graft
from hubzarr.session.transferring.places import are_one_place
from hubzarr.session.transferring.transfer import Transfer, transfer

__all__ = [
    "Carrier",
    "Contents",
    "Graft",
    "Item",
    "Transfer",
    "are_one_place",
    "past_cache",
    "plan_graft",
    "transfer",
]
