"""Studio: a page on this machine where a listener makes a book."""
