"""Errors that a user can act on: one sentence that says what is wrong and what to do."""


class UserError(Exception):
    """The work cannot be done (a bad file, a full disk ...); the program ends with status 1."""

    exit_status = 1


class UsageError(UserError):
    """The command or the configuration asks for something impossible; ends with status 2."""

    exit_status = 2
