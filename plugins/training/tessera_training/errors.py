"""The one exception type whose text is meant for the person at the keyboard."""


class UserError(Exception):
    """A problem the user can fix; the command line prints its text without a stack trace."""
