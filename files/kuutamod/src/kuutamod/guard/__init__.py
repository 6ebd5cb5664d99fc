# SPDX-License-Identifier: Apache-2.0
"""The guard: a small process between the supervisor and neard, standard library only.

It starts neard, places the key, kills neard when the lease's deadline passes or the supervisor is gone, collects the exit
status and then hands the lock back. ``rules`` says when it kills; ``wire`` is what supervisor and guard say to each other.
"""
