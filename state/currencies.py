"""How many decimals a currency has: ISO 4217, List One (SIX Financial Information), as of January 2026.

Only those that have not two are named. Codes that have none at all (gold, units of account) are taken to have two, as
any that the list does not know: what is not known is shown as most money is.
"""

from __future__ import annotations

UNLIKE = (
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
)
_DECIMALS = {code: decimals for decimals, codes in UNLIKE for code in codes.split()}


def decimals_of(currency: str) -> int:
    """Return how many decimals a currency has; its minor unit is one of the last of them."""
    return _DECIMALS.get(currency, 2)
