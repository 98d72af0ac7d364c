"""The object store, the library of voices and the records of runs."""
