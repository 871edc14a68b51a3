"""Events in words, Chinese and English, for the timeline of an account or a borrower."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from string import Formatter
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from agents.amounts import priced
from agents.planner.offer_texts import ITEMS, titles_of
from schemas import events as ev
from state.texts import LOCALES, Lender, Localised, messages_of

Translated = dict[str, str]
_MESSAGES = {locale: messages_of(Localised(), Lender(), locale) for locale in LOCALES}

Pair = tuple[str, str]


class Catalogue(Struct, forbid_unknown_fields=True):
    """The tables of `console/words.yaml`; each pair is in Chinese and English."""

    events: dict[str, Pair]
    variants: dict[str, Pair]
    progress: dict[str, Pair]
    parts: dict[str, Pair]
    kinds: dict[str, Pair]
    chinese: dict[str, str]
    english: dict[str, str]
    patterns: tuple[Pair, ...]


WORDS = msgspec.yaml.decode(Path(__file__).with_suffix(".yaml").read_bytes(), type=Catalogue)
for _kind in get_args(ev.HoldKind):
    WORDS.chinese[f"hold:{_kind}"] = f"暂停（{WORDS.chinese[_kind]}）"
    WORDS.english[f"hold:{_kind}"] = f"hold ({_kind.replace('_', ' ')})"
# A code that stands for itself; what is a part of an id is none.
_CODE = re.compile(r"(?<![A-Za-z0-9_-])[a-z]+(?:_[a-z]+)*(?![A-Za-z0-9_-])")
_ONE = re.compile(r"(?<![\d.,-])1 (day|month|instalment)s\b")
MONEY = frozenset({"amount", "principal", "overdue_amount", "allowance", "unpaid", "difference", "paid"})


def describe(event: ev.Event, currency: str) -> Translated:
    """Return an event in both languages; its name where it has no words."""
    name = type(event).__name__
    texts = WORDS.variants.get(f"{name} {_variant(event)}") or WORDS.events.get(name)
    if texts is None:
        return {"zh": name, "en": name}
    fields = {f: getattr(event, f) for f in event.__struct_fields__ if f in _named_in(texts)}
    zh = {k: _plain(k, v, currency, chinese=True) for k, v in fields.items()}
    en = {k: _plain(k, v, currency, chinese=False) for k, v in fields.items()}
    if isinstance(event, ev.PlanProgressed):
        became = WORDS.progress.get(event.outcome, (event.outcome, event.outcome))
        taken_back = ("（更正：不再成立）", " (taken back)") if event.taken_back else ("", "")
        zh["outcome"] = became[0].format(**zh) + taken_back[0]
        en["outcome"] = became[1].format(**en) + taken_back[1]
    if isinstance(event, ev.InstalmentAdjusted):
        changed = {part: priced(getattr(event, part), currency) for part in WORDS.parts if getattr(event, part)}
        zh["changes"] = "，".join(WORDS.parts[part][0] + amount for part, amount in changed.items()) or "0"
        en["changes"] = (
            ", ".join(f"{WORDS.parts[part][1]} {amount}" for part, amount in changed.items()) or "by nothing"
        )
    return {"zh": texts[0].format(**zh).strip(), "en": singular(texts[1].format(**en).strip())}


@lru_cache(maxsize=256)
def _named_in(texts: tuple[str, str]) -> frozenset[str]:
    """Return the names of the fields that texts speak of, and those that stand in what became of a plan."""
    found = (name for text in texts for _, name, _, _ in Formatter().parse(text) if name)
    return frozenset({"number", *found})


def _variant(event: ev.Event) -> str:
    """Return which variant of its record an event is, empty for the usual one."""
    match event:
        case ev.OfferPublished(options=(), kind="pay_in_full"):
            return "of all"
        case ev.OfferPublished(options=()):
            return "of none"
        case ev.OfferPublished(options=(_,)):
            return "of one"
        case ev.ContactRecorded(conversation=True):
            return "of a talk" if event.attempt else "of a call"
        case ev.PartyChanged(role=None):
            return "of none"
        case ev.PartyNoted(reason="") | ev.PartyContactChanged(reason=""):
            return "of one who may"
        case ev.InstalmentBilled() if event.revision:
            return "of a revision"
        case ev.PaymentReversed() if event.amount is not None:
            return "of a part"
        case ev.PromiseMade() if event.replaces is not None:
            return "of another"
    return ""


def singular(text: str) -> str:
    """Return an English text with "1 days" and the like in the singular."""
    return _ONE.sub(r"1 \1", text)


def describe_window(contact: ev.Contact) -> Translated:
    """Return when a borrower may be reached, in their own time zone."""
    return {"zh": _window(contact, chinese=True), "en": _window(contact, chinese=False)}


def translated(value: Any) -> Translated:
    """Return a code, or several reasons, in both languages."""
    return {"zh": _plain("reasons", value, "", chinese=True), "en": _plain("reasons", value, "", chinese=False)}


def _plain(name: str, value: Any, currency: str, *, chinese: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and name in MONEY:
        return priced(value, currency)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, ev.Contact):
        return _window(value, chinese=chinese)
    if isinstance(value, tuple | list):
        if name in ("options", "instalments"):
            return str(len(value))
        return ("；" if chinese else "; ").join(_plain(name, v, currency, chinese=chinese) for v in value)
    if name == "item_id" and value in ITEMS:
        return titles_of((value,), _MESSAGES["zh" if chinese else "en"])[0]
    return _chinese(name, str(value)) if chinese else _english(name, str(value))


def _window(contact: ev.Contact, *, chinese: bool) -> str:
    """Return when a borrower may be reached, in their time zone; days in a row with the same hours are one range."""
    if not contact.channels:
        return "不可联系" if chinese else "not at all"
    zone, runs = ZoneInfo(contact.time_zone), list[tuple[date, date, str]]()
    for hours in contact.windows or (contact,):
        start, end = hours.not_before.astimezone(zone), hours.not_after.astimezone(zone)
        day, clock = start.date(), f"{start:%H:%M}–{end:%H:%M}"
        if runs and runs[-1][1:] == (day - timedelta(days=1), clock):
            runs[-1] = (runs[-1][0], day, clock)
        else:
            runs.append((day, day, clock))
    to, comma = ("至", "，") if chinese else (" to ", ", ")
    days = (f"{first}{to}{last}" if first < last else f"{first}" for first, last, _ in runs)
    said = comma.join(f"{each} {clock}" for each, (_, _, clock) in zip(days, runs, strict=True))
    return f"{said}（{contact.time_zone}）" if chinese else f"{said} {contact.time_zone}"


def _chinese(name: str, text: str) -> str:
    if text in WORDS.chinese:
        return WORDS.chinese[text]
    for pattern, said in WORDS.patterns:
        text = re.sub(pattern, said, text)
    if name == "reasons":
        # Codes within what the engine says of itself; what other systems say, and ids, are left as they are.
        text = _CODE.sub(lambda found: WORDS.chinese.get(found[0], found[0]), text)
    return _kinds(text, 0)


def _english(name: str, text: str) -> str:
    if text in WORDS.english:
        return WORDS.english[text]
    if re.fullmatch(r"[a-z0-9_]+", text) and not text[0].isdigit():
        return text.replace("_", " ")
    if name == "reasons":
        text = singular(_CODE.sub(lambda found: found[0].replace("_", " "), text))
    return _kinds(text, 1)


def _kinds(text: str, language: int) -> str:
    """Return a text in which kinds of events have the names that people use."""
    return re.sub(
        r"\b[A-Z][a-z]+[A-Z]\w+\b", lambda m: WORDS.kinds[m[0]][language] if m[0] in WORDS.kinds else m[0], text
    )
