"""Repositories of the Hugging Face Hub: the model card says what was unlearned, and the old weights go for good.

>>> from disinherit.hub import checklist, write_card
>>> registry.export("clinic", "clinic-unlearned")
>>> write_card(registry, "clinic", "clinic-unlearned", certificate="proof.json")
>>> todo = checklist("hospital/clinic", "clinic-unlearned")
>>> print(todo)                                            # nothing was changed
>>> todo.execute()                                         # cannot be taken back
"""

from ._card import section, write_card
from ._checklist import Checklist, Step, checklist

__all__ = ["Checklist", "Step", "checklist", "section", "write_card"]
