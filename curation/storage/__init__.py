"""How bytes are kept: archives read in place, the cache, atomic files, locks, retries, local and remote paths."""
