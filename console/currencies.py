"""Amounts of minor units as people write them: ISO 4217 says how many decimals a currency has."""

from __future__ import annotations

_NONE = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW",
    "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF",
)  # fmt: skip
_THREE = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_FOUR = ("CLF", "UYW")
_DECIMALS = {**dict.fromkeys(_NONE, 0), **dict.fromkeys(_THREE, 3), **dict.fromkeys(_FOUR, 4)}


def decimals(currency: str) -> int:
    """Return the decimals of a currency: two, unless ISO 4217 says otherwise."""
    return _DECIMALS.get(currency, 2)


def money(amount: int, currency: str) -> str:
    """Return an amount of minor units with its currency, `1,234.50 CNY`."""
    places = decimals(currency)
    whole, part = divmod(abs(amount), 10**places)
    text = f"{whole:,}.{part:0{places}d}" if places else f"{whole:,}"
    return f"{'-' if amount < 0 else ''}{text} {currency}".strip()
