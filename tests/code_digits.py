"""Check digits, which tell a code from any other number of its length."""

from __future__ import annotations


def is_loinc(code: str) -> bool:
    """LOINC's mod-10 check digit, which tells a code from a page range such as 228-3."""
    digits, _, check = code.partition("-")
    odd = "".join(reversed(digits))[::2]
    doubled = str(int(odd) * 2)
    even = "".join(reversed(digits))[1::2]
    total = sum(int(digit) for digit in even + doubled)
    return (10 - total % 10) % 10 == int(check)


def is_snomed(code: str) -> bool:
    """SNOMED's Verhoeff check digit and partition (concepts: 00 or 10)."""
    permutation = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    while len(permutation) < 8:
        permutation.append([permutation[1][digit] for digit in permutation[-1]])
    check = 0
    for position, digit in enumerate(reversed(code)):
        check = _multiplied(check, permutation[position % 8][int(digit)])
    return check == 0 and code[-3:-1] in ("00", "10")


def _multiplied(one: int, other: int) -> int:
    """The dihedral group of the pentagon."""
    if one < 5:
        return (one + other) % 5 if other < 5 else (one + other) % 5 + 5
    return (one - other) % 5 + 5 if other < 5 else (one - other) % 5
