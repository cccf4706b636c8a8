"""Names inside archives become text that can be stored, each once."""

from hypothesis import given
from hypothesis import strategies as st

from curation.storage.archive_members import Limits, Member, number_duplicates, storable_name

names = st.text(st.sampled_from("ab./~2 \udce9\ud800é\n"), max_size=6)


@given(name=names)
def test_a_storable_name_can_be_stored_and_stays(name):
    """Any name becomes UTF-8 text that is not empty, and storing it again changes nothing."""
    stored = storable_name(name)
    assert stored.encode("utf-8")
    assert storable_name(stored) == stored


@given(paths=st.lists(st.sampled_from(["a", "a~2", "a~3", "d.e/a", "d.e/a~2", "a.jpg", "a~2.jpg"]), max_size=12))
def test_numbering_loses_no_one_and_is_stable(paths):
    """Every member stays, under a path of its own; the first of a path keeps it; numbering again changes nothing."""
    members = [Member(path, index, None) for index, path in enumerate(paths)]
    numbered = number_duplicates(members)
    assert sorted(member.size_bytes for member in numbered) == list(range(len(paths)))
    assert [member.path for member in numbered] == sorted({member.path for member in numbered})
    firsts = {path: paths.index(path) for path in paths}
    assert all(firsts.get(member.path, member.size_bytes) == member.size_bytes for member in numbered)
    assert number_duplicates(numbered) == numbered


def test_sizes_beyond_the_limits_are_named():
    """A size is refused with what it is and what is allowed, a bomb before mere size."""
    limits = Limits()
    assert limits.refuse_size(1 << 30) is None
    assert limits.refuse_size((1 << 30) + 1) == ("file-too-large", "1.1 GB")
    assert limits.refuse_size(1 << 32, 1 << 10) == ("archive-bomb", "1 KB expands to 4.3 GB")
    assert limits.refuse_size(1 << 24, 1) is None
