"""Places: which codes of jurisdictions exist, and which one somebody means who writes a name instead."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache

# ISO 3166-1 alpha-2, as tzdata 2026 lists it.
_ISO_3166 = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
ISO_3166 = frozenset(_ISO_3166.split())
UNION = "EU"
_MEMBERS = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
UNION_MEMBERS = tuple(_MEMBERS.split())

_SUBDIVISION = re.compile("[A-Z0-9]{1,3}")
# The languages in which names of countries are understood, beside their codes.
_LANGUAGES = ("en", "zh", "de", "es", "fr", "it", "ja", "nl", "pl", "pt")


def is_place(code: str) -> bool:
    """Say whether a code is one of a country (ISO 3166-1), of its subdivision (ISO 3166-2: `US-CA`), or `EU`."""
    country, dash, subdivision = code.partition("-")
    if dash:
        return country in ISO_3166 and _SUBDIVISION.fullmatch(subdivision) is not None
    return code in ISO_3166 or code == UNION


@lru_cache(maxsize=1024)
def place_meant_by(name: str) -> str:
    """Return the code that is probably meant by a name ("Germany", "deu", "德国"), empty where none is near."""
    names, wanted = _names(), name.strip().casefold()
    if wanted in names:
        return names[wanted]
    near = get_close_matches(wanted, names, n=1, cutoff=0.8) if len(wanted) > 3 else []
    return names[near[0]] if near else ""


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    # Imported where it is needed: only what is refused asks for names.
    from babel import Locale
    from babel.core import get_global

    found: dict[str, str] = {}
    for language in _LANGUAGES:
        for code, said in Locale(language).territories.items():
            if code in ISO_3166 or code == UNION:
                found.setdefault(str(said).casefold(), code)
    for other, codes in get_global("territory_aliases").items():
        # Codes of three letters, and withdrawn ones such as UK, that stand for one country.
        if len(codes) == 1 and codes[0] in ISO_3166:
            found.setdefault(other.casefold(), codes[0])
    return found | {code.casefold(): code for code in (*ISO_3166, UNION)}
