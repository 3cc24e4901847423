"""Make a CSV file that looks like the company register; no company in it is real.

Shares of kinds, statuses and empty cells are about those of ACRA's own files: most
entities are gone, most cells say ``na``, and a fourth of all lines has quoted cells.
"""

from __future__ import annotations

import csv
import random
from typing import TYPE_CHECKING

from bff.acra.records import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NA = "na"
ROWS = 2_100_000
KINDS = (
    ("Sole Proprietorship/ Partnership", NA, NA),
    ("Local Company", NA, "EXEMPT PRIVATE COMPANY LIMITED BY SHARES"),
    ("Local Company", NA, "PRIVATE COMPANY LIMITED BY SHARES"),
    ("Sole Proprietorship/ Partnership", "Sole-Proprietor", NA),
    ("Limited Liability Partnership", NA, NA),
    ("Foreign Company Branch", NA, NA),
)
KIND_SHARES = (50, 24, 12, 8, 4, 2)
STATUSES = (
    "Live Company",
    "Live",
    "Struck Off",
    "Terminated",
    "Ceased Registration",
    "Cancelled (Non-Renewal)",
    "Dissolved - Members' Voluntary Winding Up",
    "Live (Receiver or Receiver and Manager appointed)",
)
STATUS_SHARES = (22, 8, 28, 22, 9, 9, 1.99, 0.01)
ACTIVITIES = (
    "WHOLESALE TRADE OF A VARIETY OF GOODS WITHOUT A DOMINANT PRODUCT",
    "OTHER HOLDING COMPANIES",
    "MANAGEMENT CONSULTANCY SERVICES N.E.C.",
    "DEVELOPMENT OF SOFTWARE AND APPLICATIONS (EXCEPT GAMES AND CYBERSECURITY)",
    "RENOVATION CONTRACTORS",
    "RESTAURANTS, CAFES AND BARS, NOT ELSEWHERE CLASSIFIED",
    "FREIGHT TRANSPORT BY ROAD",
    "RETAIL SALE VIA THE INTERNET",
)
SYLLABLES = (
    *("BAN", "CHI", "DON", "FU", "GAN", "HAI", "JIN", "KIM", "LIAN"),
    *("MIN", "NAI", "PEI", "SEN", "TAN", "WEI"),
)
STREETS = tuple(
    f"{name} {way}"
    for name in ("ANSON", "BEACH", "CECIL", "GEYLANG", "JURONG", "UBI", "YISHUN")
    for way in ("ROAD", "STREET 21", "AVENUE 4", "CRESCENT", "INDUSTRIAL PARK 1")
)
LETTERS = "ABCDEGHKLMNPRWXZ"
SCATTER = 3**18
AUDITORS = tuple((f"T{n:02}LL{n:04}A", f"AUDITORS NUMBER {n} LLP") for n in range(40))
# Shares of entities, of 1.
HIGH_RISE, NAMED_BUILDING, WITH_POSTAL_CODE = 0.8, 0.3, 0.95
OWN_WORDS, ONE_ACTIVITY, AUDITED = 0.1, 0.7, 0.2
FORMER_NAMES, FORMER_SHARES = (0, 1, 2, 5), (85, 11, 3, 1)


def write(file: Path, rows: int, seed: int = 1) -> None:
    """Write *rows* records into *file*; the same *seed* gives the same file."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(records(rows, seed))


def records(rows: int, seed: int = 1) -> Iterator[list[str]]:
    """Give *rows* records in the order of COLUMNS."""
    chance = random.Random(seed)  # noqa: S311 - the same file each time, no secret
    for number in range(rows):
        yield _record(number, chance)


def _record(number: int, chance: random.Random) -> list[str]:
    kind, constitution, company = chance.choices(KINDS, KIND_SHARES)[0]
    year, own = chance.randint(1965, 2025), chance.random()
    date = f"{year}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    made = dict.fromkeys(COLUMNS, NA) | {
        # Each once, in no order: SCATTER and the number of all UENs have no divisor.
        "uen": f"{number * SCATTER % 10**9:09}{LETTERS[number % len(LETTERS)]}",
        "issuance_agency_id": "ACRA",
        "entity_name": _name(chance),
        "entity_type_description": kind,
        "business_constitution_description": constitution,
        "company_type_description": company,
        "entity_status_description": chance.choices(STATUSES, STATUS_SHARES)[0],
        "registration_incorporation_date": date,
        "uen_issue_date": date,
        "address_type": "LOCAL",
        "block": str(chance.randint(1, 999)),
        "street_name": chance.choice(STREETS),
        "primary_ssic_code": str(chance.randint(1111, 96099)),
        "primary_ssic_description": chance.choice(ACTIVITIES),
        "no_of_officers": str(chance.randint(1, 9)),
    }
    if own < HIGH_RISE:
        made["level_no"] = f"{chance.randint(1, 30):02}"
        made["unit_no"] = f"{chance.randint(1, 200):02}"
    if own < NAMED_BUILDING:
        made["building_name"] = f"{_name(chance, 1)} BUILDING"
    if own < WITH_POSTAL_CODE:
        # A leading zero is lost, as in the files of ACRA.
        made["postal_code"] = str(chance.randint(10_000, 829_999))
    if own < OWN_WORDS:
        words = f"{_name(chance, 2)}, TRADING AND SERVICES"
        made["primary_user_described_activity"] = words
    if own > ONE_ACTIVITY:
        made["secondary_ssic_code"] = str(chance.randint(1111, 96099))
        made["secondary_ssic_description"] = chance.choice(ACTIVITIES)
    if company != NA:
        made["account_due_date"] = f"{year + 1}-07-30"
        made["annual_return_date"] = f"{year + 1}-12-31"
        if own < AUDITED:
            auditor = chance.choice(AUDITORS)
            made["uen_of_audit_firm1"], made["name_of_audit_firm1"] = auditor
    for former in range(chance.choices(FORMER_NAMES, FORMER_SHARES)[0]):
        made[f"former_entity_name{former + 1}"] = _name(chance)
    return list(made.values())


def _name(chance: random.Random, words: int = 3) -> str:
    """Return a name that is no company's."""
    made = (
        "".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))) for _ in range(words)
    )
    return f"{' '.join(made)} PTE. LTD."
