"""Check FAISS's factory strings before FAISS reads them: some numbers make it end the process, or never end.

Each term below was tried at its bounds, alone and with others, for few rows and few dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_DIMENSIONS, _PARTS, _BITS = range(1, 4097), range(1, 4097), range(1, 17)
_LISTS = range(1, 2**22 + 1)
_LINKS = range(2, 1025)
_SCALAR = "SQ(?:4|6|8|fp16|bf16)"
_PRODUCT = r"PQ(\d+)(?:x(\d+))?"

_TERMS: dict[str, tuple[range, ...]] = {
    f"Flat|{_SCALAR}|RaBitQ|L2norm|ITQ|RFlat|Refine\\((?:Flat|{_SCALAR})\\)": (),
    r"(?:PCAW?R?|RR|ITQ|Pad)(\d+)": (_DIMENSIONS,),
    r"OPQ(\d+)(?:_(\d+))?": (_PARTS, _DIMENSIONS),
    r"IVF(\d+)(?:_HNSW(\d+)?)?": (_LISTS, _LINKS),
    f"{_PRODUCT}(?:np|fsr?)?": (_PARTS, _BITS),
    r"RQ(\d+)x(\d+)": (range(1, 257), range(1, 11)),
    f"(?:HNSW|NSG)(\\d+)?(?:_{_SCALAR})?": (_LINKS,),
    f"HNSW(\\d+)?_{_PRODUCT}": (_LINKS, _PARTS, _BITS),
}
"""Pattern of a term -> allowed values of its numbers."""
_PARAMETERS = {
    "nprobe": _LISTS,
    "quantizer_nprobe": _LISTS,
    "efSearch": range(1, 8193),
    "quantizer_efSearch": range(1, 8193),
    "k_factor_rf": range(1, 1025),
    "ht": range(1, 65_537),
    "max_codes": range(1, 2**31),
}
_OFFERED = (
    "Flat, SQ8, PQ48, PQ48x4fs, RaBitQ, IVF1024, IVF65536_HNSW32, HNSW32, NSG32, PCA64, OPQ16, RR64, L2norm, RFlat"
)


def factory_problem(detail: str) -> str | None:
    """Return what is wrong with `FACTORY[:PARAMETERS]`, or None."""
    factory, _, parameters = detail.partition(":")
    problems = [*map(_of_term, factory.split(",")), *map(_of_parameter, filter(None, parameters.split(",")))]
    return next(filter(None, problems), None)


def _of_term(term: str) -> str | None:
    for pattern, allowed in _TERMS.items():
        if found := re.fullmatch(pattern, term, re.ASCII):
            numbers = zip(found.groups(), allowed, strict=True)
            return _outside(term, [(number, one) for number, one in numbers if number])
    return f"{term!r} is not a term that is offered; there are {_OFFERED}"


def _of_parameter(text: str) -> str | None:
    name, _, number = text.partition("=")
    if name not in _PARAMETERS:
        return f"there is no parameter {name!r}; known: {', '.join(_PARAMETERS)}"
    return _outside(text, [(number, _PARAMETERS[name])])


def _outside(term: str, numbers: Sequence[tuple[str, range]]) -> str | None:
    for number, allowed in numbers:
        if not re.fullmatch(r"[0-9]{1,9}", number) or int(number) not in allowed:
            return f"{number!r} in {term!r} is not a whole number from {allowed[0]:,} to {allowed[-1]:,}"
    return None
