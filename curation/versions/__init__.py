"""Published versions: their folders, the texts that git keeps of them, and the queries on both."""

from curation.dataset.layout import Home
from curation.versions.commit import commit, open_staging
from curation.versions.decided import list_decided, read_decided, write_decided
from curation.versions.describe import describe_version, name_images, renew_sums, write_tables
from curation.versions.diff import Diff, diff, diff_plan
from curation.versions.drafts import drop_draft, write_draft
from curation.versions.explain import Explanation, explain
from curation.versions.forget import ForgetPlan, forget, plan_forget, select_rows
from curation.versions.gc import CachePart, Freed, GcPlan, carry_out, free_space, plan_gc
from curation.versions.hardlinks import PublishedImage, link_or_copy, reuse
from curation.versions.identity import Renewal, find_read_otherwise, find_renewed
from curation.versions.integrity import check_present
from curation.versions.locks import Lock, locked
from curation.versions.recovery import recover
from curation.versions.show import Shown, is_audited, show
from curation.versions.store import (
    Draft,
    Version,
    check_not_withdrawn,
    chosen,
    find,
    find_digest,
    held_out_earlier,
    load,
    next_number,
    open_draft,
    open_folder,
    open_table,
    parse_reference,
    previous_images,
    previous_split,
)
from curation.versions.verify import Verification, verify
from curation.versions.version_index import VersionLine, fill_extra, published

__all__ = [
    "CachePart",
    "Diff",
    "Draft",
    "Explanation",
    "ForgetPlan",
    "Freed",
    "GcPlan",
    "Home",
    "Lock",
    "PublishedImage",
    "Renewal",
    "Shown",
    "Verification",
    "Version",
    "VersionLine",
    "carry_out",
    "check_not_withdrawn",
    "check_present",
    "chosen",
    "commit",
    "describe_version",
    "diff",
    "diff_plan",
    "drop_draft",
    "explain",
    "fill_extra",
    "find",
    "find_digest",
    "find_read_otherwise",
    "find_renewed",
    "forget",
    "free_space",
    "held_out_earlier",
    "is_audited",
    "link_or_copy",
    "list_decided",
    "load",
    "locked",
    "name_images",
    "next_number",
    "open_draft",
    "open_folder",
    "open_staging",
    "open_table",
    "parse_reference",
    "plan_forget",
    "plan_gc",
    "previous_images",
    "previous_split",
    "published",
    "read_decided",
    "recover",
    "renew_sums",
    "reuse",
    "select_rows",
    "show",
    "verify",
    "write_decided",
    "write_draft",
    "write_tables",
]
