"""Files of every format that are mutated, cut and spliced give the pixels of a strict reference, or a reason."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.images import DecodeFailure, decode
from tests.images import test_dicom, test_heif
from tests.images.mutations import FORMATS, Tally, judge, mutate, run


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_no_damage_gives_other_pixels(name, capfd):
    """With fixed seeds; ``python -m tests.images.mutations 5000`` runs more and counts what was read and refused."""
    tally = run(name, 240)
    assert tally.wrong == []
    assert tally.refused > 0
    assert tally.longest < 5
    assert capfd.readouterr().out == ""


@pytest.mark.slow
@settings(derandomize=True, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_damage_gives_right_pixels_or_a_reason(data):
    """Whatever Hypothesis thinks of: bits, bytes, cuts, holes, repeated and foreign parts, sums made right again."""
    name = data.draw(st.sampled_from(sorted(FORMATS)))
    kind = FORMATS[name]
    mode, other = (data.draw(st.sampled_from(sorted(kind.files))) for _ in range(2))
    content = mutate(kind.files[mode], kind.files[other], lambda low, high: data.draw(st.integers(low, high)))
    if kind.sums is not None and data.draw(st.booleans()):
        content = kind.sums(content)
    tally = Tally()
    judge(name, mode, content, tally)
    assert tally.wrong == []


@pytest.mark.slow
@settings(derandomize=True, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damage_of_heic_and_dicom_gives_an_image_or_a_reason(data):
    """No second decoder reads them here: nothing but a reason is raised."""
    heic = [test_heif.unpack(text) for text in (test_heif.PLAIN, test_heif.TURNED, test_heif.DEEP)]
    dicom = [test_dicom.dicom(test_dicom.DEEP, bits=12), test_dicom.dicom(test_dicom.IMAGE, photometric="RGB")]
    dicom += [
        test_dicom.dicom([encode(test_dicom.GRAY)], bits=bits, syntax=syntax)
        for syntax, encode, bits in test_dicom.CODINGS.values()
    ]
    content, other = (data.draw(st.sampled_from([*heic, *dicom])) for _ in range(2))
    try:
        decode(mutate(content, other, lambda low, high: data.draw(st.integers(low, high))))
    except DecodeFailure:
        return
