# SPDX-License-Identifier: Apache-2.0
"""The rules, pure: nothing in this package reads a clock, a socket or a file.

Where to look:

* ``lease``      may I sign, until when, and why that is safe (the law and its derivation)
* ``takeover``   may I take the lock, and from when
* ``readiness``  is this node able to hold the key (eligibility and activation checks)
* ``heights``    which height a new holder may sign next
* ``recovery``   what a holder does after its neard failed (release or retry here)
* ``observe``    how an event changes the node's state
* ``decide``     what to do next, and one sentence of why
* ``protocol``   the keys and JSON shapes in Consul
"""
