# SPDX-License-Identifier: Apache-2.0
"""The one error that ends a command."""


class FleetError(Exception):
    """A command cannot be carried out; the message says what is wrong and what to do about it."""
