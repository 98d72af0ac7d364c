"""The DAGs and the command line: where plain steps are composed into runs."""
