"""What an account may still spend."""

from typing import Protocol


class CallGate(Protocol):
    """Asked before every call of one account, retries included, and told how calls went."""

    def admit(self, cluster_name: str) -> None:
        """Let one call through. Raises ``BudgetExhausted`` instead if it must not be sent."""
        ...

    def over_quota(self) -> None:
        """The API refused a call with code 2500."""
        ...

    def passed(self) -> None:
        """The API answered a call with anything other than code 2500."""
        ...
