"""One page a run: everything that is known of a model, in one file that needs nothing else."""

from training.report.page import write_report
from training.report.search import write_search_page

__all__ = ["write_report", "write_search_page"]
