"""The one error for what a user can mend."""


class InputError(ValueError):
    """Something a person gave breaks a rule; the message names the value, the rule and a way out.

    `field` is the name of the setting at fault ("ranks", "lr", ...), so that a page can show the message
    beside its control; it is empty where no single setting is to blame.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field
